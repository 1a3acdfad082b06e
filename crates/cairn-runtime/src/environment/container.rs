//! Containers: `docker_env` of a project.

use serde::{Deserialize, Serialize};

/// What `docker_env` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// The image.
    pub image: String,
    /// `host:container`, as Docker reads it.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Variables.
    #[serde(default)]
    pub environment: Vec<ContainerVariable>,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerVariable {
    /// With the value that it has outside; it must be set there.
    Copied(String),
    /// With a value of its own.
    Set(String, String),
}

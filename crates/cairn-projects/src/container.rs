//! A project with a `docker_env`: the container program is the child, called directly.

use std::collections::BTreeMap;

use cairn_runtime::environment::container::ContainerImage;
use cairn_runtime::launch::{ChildSpec, Launch};

use crate::error::{ProjectError, Result};
use crate::plan::RunPlan;
use crate::request::RunRequest;

/// What runs a project in a container.
pub(crate) fn child(
    _image: &ContainerImage,
    _request: &RunRequest,
    _plan: &RunPlan,
    _launch: &Launch,
    _env: BTreeMap<String, String>,
    _env_remove: Vec<String>,
) -> Result<ChildSpec> {
    Err(ProjectError::source("containers are not run yet", ""))
}

//! Limits of MLflow's interface, and the texts that refuse what exceeds them.

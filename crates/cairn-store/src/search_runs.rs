//! search_runs

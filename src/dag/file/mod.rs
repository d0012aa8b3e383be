//! Reads DAG files and crondag.toml.

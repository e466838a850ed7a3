//! Any till device on any port.

//! A client for Tidings.

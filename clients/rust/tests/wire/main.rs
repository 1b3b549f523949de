//! The client against a server that does what the test says, frame by frame.

mod client;
mod session;
mod support;

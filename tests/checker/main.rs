//! Faults from outside while people chat, and a checker that reads what they were told.
#[path = "../support/mod.rs"]
mod support;

mod check;
mod check_tests;
mod history;

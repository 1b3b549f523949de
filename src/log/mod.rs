//! Kafka: the table of topics, appending, reading, owning partitions, and the journal's chain.

mod checkpoints;
mod dead_letters;
pub mod journal;
mod murmur2;
mod ownership;
mod owning;
mod producer;
mod reach;
mod reader;
mod settled;
pub mod topics;

pub use checkpoints::{CheckpointError, Checkpoints, checkpoint_key};
pub use dead_letters::list as list_dead_letters;
pub use murmur2::partition_of;
pub use ownership::{Change, Committed, Ownership};
pub use owning::own_each;
pub use producer::{AppendError, Appended, Appending, MAX_RECORD_BYTES, Producer};
pub use reach::{Unreachable, reach};
pub use reader::{Ends, Fetched, ReadError, Reader, Records, ends, read_to_end};
pub use settled::{SettleError, Settled};

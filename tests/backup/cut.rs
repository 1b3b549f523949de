//! What belongs to a backup, to the record: without roles, so that the streams are as a test writes them.

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;
use tidings::backup::save::{self, Report};
use tidings::backup::{Access, Destination, container, restore};
use tidings::codec::Codec;
use tidings::codec::records::Receipt;
use tidings::config::Config;
use tidings::domain::{CommandId, ConversationId, EventId, TenantId, Timestamp, UserId};
use tidings::log::journal::Head;
use tidings::log::{Producer, checkpoint_key, topics};
use tidings::store::Store;

use crate::support::Stack;

struct Streams {
    producer: Producer,
    options: save::Options,
    _folder: TempDir,
}

impl Streams {
    async fn of(stack: &Stack) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Config::load(None, &[]).expect("defaults").backup;
        let path = folder.path().to_str().expect("a path");
        let destination = Destination::open(path, &settings, Access::Write).expect("opens");
        let connect = stack.parts.postgres_url().parse().expect("an address");
        let store = Store::connect(connect, 2).await.expect("connects");
        let client = stack.kafka();
        let producer = Producer::new(&client).expect("a producer");
        let keys = destination.under("keys");
        let options = save::Options { client, codec: Codec::builtin(), store, destination, keys, full: false };
        Self { producer, options, _folder: folder }
    }

    async fn append(&self, topic: &str, key: &str, value: Option<&[u8]>) {
        self.producer.append(topic, 0, key.as_bytes(), value).expect("queued").await.expect("appended");
    }

    /// A receipt of the event `index`.
    async fn receipt(&self, key: &str, index: i64) {
        let receipt = Receipt {
            r#type: "receipt.read".into(),
            event_id: EventId::generate(),
            tenant: TenantId::generate(),
            conversation: ConversationId::generate(),
            user: UserId::generate(),
            read_seq: 1,
            delivered_seq: 1,
            occurred_at: Timestamp(index),
            causation: CommandId::generate(),
            traceparent: None,
            epoch: 0,
            partition: 0,
            index,
        };
        let value = Codec::builtin().encode(&receipt).expect("encodes");
        self.append(topics::RECEIPTS, key, Some(&value)).await;
    }

    async fn checkpoint(&self, index: i64) {
        let head = Head { index, next_offset: index, ..Head::default() };
        let checkpoint = head.checkpoint(topics::CONVERSATION_JOURNAL, 0);
        let value = Codec::builtin().encode(&checkpoint).expect("encodes");
        let key = checkpoint_key(topics::CONVERSATION_JOURNAL, 0);
        self.append(topics::CHECKPOINTS, &key, Some(&value)).await;
    }

    async fn back_up(&self) -> Report {
        save::backup(&self.options, &|_, _| {}).await.expect("backs up")
    }

    /// Keys of the records that a backup added, those of tombstones with a minus.
    async fn keys(&self, report: &Report) -> Vec<String> {
        let mut keys = Vec::new();
        for object in &report.manifest.objects {
            let bytes = object.get(&self.options.destination).await.expect("there");
            let raw = usize::try_from(object.raw_bytes).expect("small");
            for entry in container::unpack(&bytes, raw).expect("unpacks") {
                let key = String::from_utf8(entry.key.expect("a key").to_vec()).expect("text");
                keys.push(if entry.value.is_some() { key } else { format!("-{key}") });
            }
        }
        keys
    }

    async fn keep_tombstones_ms(&self, ms: &str) {
        let admin: AdminClient<DefaultClientContext> = self.options.client.create().expect("an admin");
        let change = AlterConfig::new(ResourceSpecifier::Topic(topics::RECEIPTS)).set("delete.retention.ms", ms);
        let altered = admin.alter_configs(&[change], &AdminOptions::new()).await.expect("answers");
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    }
}

/// In one story, as in the other: what takes time is the installation.
pub async fn story(stack: &Stack) {
    let streams = Streams::of(stack).await;
    for (key, index) in [("a", 1), ("b", 2), ("c", 3)] {
        streams.receipt(key, index).await;
    }
    // What was written before the first checkpoint was: nothing is covered.
    assert_eq!(streams.keys(&streams.back_up().await).await, [""; 0]);
    streams.checkpoint(2).await;
    assert_eq!(streams.keys(&streams.back_up().await).await, ["a", "b"], "what is past the checkpoint comes later");
    streams.append(topics::RECEIPTS, "a", None).await;
    streams.receipt("d", 4).await;
    streams.receipt("e", 5).await;
    // Only last looks outlive sessions.
    streams.append(topics::PRESENCE, "usr_1/last", Some(b"seen")).await;
    streams.append(topics::PRESENCE, "usr_1/ses_1", Some(b"online")).await;
    streams.checkpoint(4).await;
    assert_eq!(streams.keys(&streams.back_up().await).await, ["c", "-a", "d", "usr_1/last"]);
    assert_eq!(streams.keys(&streams.back_up().await).await, [""; 0], "nothing is there twice");

    let Streams { options, .. } = &streams;
    let open = async |at| restore::Backup::open(options.destination.clone(), options.keys.clone(), at).await;
    assert_eq!(open(None).await.expect("opens").records(), 6);
    assert_eq!(open(Some(2)).await.expect("opens").records(), 2);
    assert!(open(Some(9)).await.is_err());
    assert!(restore::ensure_fits(&open(None).await.expect("opens"), Codec::builtin(), 5).is_err(), "of 4 partitions");

    // Tombstones may have gone before an increment: then all is read.
    streams.keep_tombstones_ms("1").await;
    let full = streams.back_up().await;
    assert!(full.because.as_ref().is_some_and(|because| because.contains("tombstones")), "{:?}", full.because);
    assert_eq!((full.manifest.previous.is_none(), full.manifest.chain), (true, 5));
    assert_eq!(streams.keys(&full).await, ["a", "b", "c", "-a", "d", "usr_1/last"]);
}

//! Records: Avro in Confluent wire format (a zero byte, the schema's id as four bytes big-endian, the datum).
//!
//! `schemas/*.avsc` are the truth; the structs in [`records`] are written by hand and held to them by tests. A reader decodes
//! with the writer's schema and passes over fields it does not know, so writers may add optional fields.
//! `docs/records.md` says why the formats are as they are.

pub mod records;
mod schemas;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

pub use schemas::{SCHEMAS, SchemaVersion};

/// Length of what precedes the datum, in bytes.
const HEADER_BYTES: usize = 5;
/// No field is taken for longer, whatever length it declares: four times the largest record. Otherwise ten bytes that declare half a
/// gigabyte are given it.
const MAX_ALLOCATION_BYTES: usize = 16_777_216;

/// A struct that stands for a schema of `schemas/`.
pub trait Record: Serialize + DeserializeOwned {
    /// The schema's name without its namespace.
    const NAME: &'static str;
}

/// Why a record cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It does not start with a zero byte and an id.
    #[error("not in Confluent wire format")]
    NotFramed,
    /// No schema has this id here. Where a registry is configured it is being asked: see [`Codec::is_asked_for`].
    #[error("schema {0} is not known here; upgrade readers before writers, or let a registry tell (`registry.url`)")]
    UnknownSchema(u32),
    /// The schema is of another record.
    #[error("holds a {found}, not a {expected}")]
    WrongType {
        /// What was asked for.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The bytes do not follow the schema.
    #[error("{name} is damaged")]
    Damaged {
        /// What it should be.
        name: &'static str,
        /// What the decoder says.
        source: Box<apache_avro::Error>,
    },
}

/// Why a record cannot be encoded: the struct and its schema disagree, which tests exclude.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode a {name}")]
pub struct EncodeError {
    name: &'static str,
    source: Option<Box<apache_avro::Error>>,
}

struct Known {
    name: String,
    reader: GenericDatumReader<'static>,
    /// Set for schemas that this program was not built with: resolves what they hold to our newest schema of that name.
    /// The direct way fails on a field that the struct does not have (apache-avro 0.22), and this one is ten times slower.
    ours: Option<Ours>,
}

struct Ours {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

type Writers = HashMap<&'static str, (u32, GenericDatumWriter<'static>)>;

/// Encodes and decodes with the ids of one registry.
pub struct Codec {
    writers: Writers,
    readers: RwLock<HashMap<u32, Arc<Known>>>,
    questions: Questions,
}

/// Ids that records had and that are not known. Decoding does not wait: who cannot decode starts again a little later, as after
/// any failure, and meanwhile a registry is asked beside.
#[derive(Default)]
struct Questions {
    /// Whether there is anybody to ask.
    heard: AtomicBool,
    /// None: not answered yet. Else nobody knew it then.
    open: Mutex<HashMap<u32, Option<Instant>>>,
    asked: Notify,
}

/// How long an id that nobody knew is not asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

static BUILTIN: LazyLock<Result<Codec, Box<apache_avro::Error>>> = LazyLock::new(|| {
    let ids = SCHEMAS.iter().map(|schema| (schema.name, schema.id)).collect();
    Codec::with_ids(&ids)
});

impl Codec {
    /// With the ids that are compiled in.
    ///
    /// # Panics
    /// If a compiled-in schema does not parse, which tests exclude.
    #[expect(clippy::panic, reason = "the schemas are part of the program; a test parses them all")]
    pub fn builtin() -> &'static Self {
        match &*BUILTIN {
            Ok(codec) => codec,
            Err(error) => panic!("a compiled-in schema does not parse: {error}"),
        }
    }

    /// With the ids under which a registry knows the newest version of each schema, by name.
    ///
    /// # Errors
    /// If a schema does not parse.
    pub fn with_ids(ids: &HashMap<&str, u32>) -> Result<Self, Box<apache_avro::Error>> {
        // Of the whole process, and only the first time counts.
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION_BYTES);
        let mut writers = HashMap::new();
        let mut readers = HashMap::new();
        for version in SCHEMAS {
            let schema = parse(version.text)?;
            // An id of the registry may be the compiled-in one of another schema, and goes first.
            if !ids.values().any(|id| *id == version.id) {
                readers.insert(version.id, Arc::new(known(schema)?));
            }
            if let Some(id) = ids.get(version.name) {
                let writer = GenericDatumWriter::builder(schema).human_readable(true).build().map_err(Box::new)?;
                writers.insert(version.name, (*id, writer));
                readers.insert(*id, Arc::new(known(schema)?));
            }
        }
        Ok(Self { writers, readers: RwLock::new(readers), questions: Questions::default() })
    }

    /// Makes the schema that a registry has under `id` known. It is kept for the life of the process.
    ///
    /// # Errors
    /// If `schema` is not an Avro schema.
    pub fn learn(&self, id: u32, schema: &str) -> Result<(), Box<apache_avro::Error>> {
        let schema = parse(schema)?;
        let mut known = known(schema)?;
        if let Some(ours) = SCHEMAS.iter().rfind(|version| version.name == known.name) {
            let ours = parse(ours.text)?;
            known.reader = GenericDatumReader::builder(schema).reader_schema(ours).build().map_err(Box::new)?;
            let reader = GenericDatumReader::builder(ours).human_readable(true).build().map_err(Box::new)?;
            let writer = GenericDatumWriter::builder(ours).build().map_err(Box::new)?;
            known.ours = Some(Ours { reader, writer });
        }
        self.readers.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(known));
        self.open().remove(&id);
        Ok(())
    }

    /// Whether records with this id can be decoded.
    pub fn knows(&self, id: u32) -> bool {
        self.readers.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// From now on somebody takes [`Codec::questions`].
    pub fn begin_to_ask(&self) {
        self.questions.heard.store(true, Ordering::Relaxed);
    }

    /// The ids that are asked for, when there are any; to be answered with [`Codec::learn`] or [`Codec::nobody_knows`].
    pub async fn questions(&self) -> Vec<u32> {
        loop {
            let asked = self.questions.asked.notified();
            let open: Vec<u32> = self.open().iter().filter(|(_, at)| at.is_none()).map(|(id, _)| *id).collect();
            if !open.is_empty() {
                return open;
            }
            asked.await;
        }
    }

    /// The registry answered that it has no schema of this id. It is asked again half a minute later, should it come again.
    pub fn nobody_knows(&self, id: u32) {
        self.open().insert(id, Some(Instant::now()));
    }

    /// Whether the schema of these bytes is not known, and may be soon: then they are not to be given up.
    pub fn is_asked_for(&self, bytes: &[u8]) -> bool {
        matches!(self.known(bytes), Err(DecodeError::UnknownSchema(id)) if matches!(self.open().get(&id), Some(None)))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Option<Instant>>> {
        self.questions.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, id: u32) {
        if !self.questions.heard.load(Ordering::Relaxed) {
            return;
        }
        let mut open = self.open();
        if open.get(&id).is_none_or(|told| told.is_some_and(|at| at.elapsed() > ASK_AGAIN)) {
            open.insert(id, None);
            self.questions.asked.notify_one();
        }
    }

    /// The framed bytes of `record`.
    ///
    /// # Errors
    /// If the struct and its schema disagree.
    pub fn encode<T: Record>(&self, record: &T) -> Result<Bytes, EncodeError> {
        let (id, writer) = self.writers.get(T::NAME).ok_or(EncodeError { name: T::NAME, source: None })?;
        let mut bytes = Vec::with_capacity(256);
        bytes.push(0);
        bytes.extend_from_slice(&id.to_be_bytes());
        writer
            .write_ser(&mut bytes, record)
            .map_err(|source| EncodeError { name: T::NAME, source: Some(Box::new(source)) })?;
        Ok(bytes.into())
    }

    /// The record that `bytes` hold.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode<T: Record>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let known = self.known(bytes)?;
        if known.name != T::NAME {
            return Err(DecodeError::WrongType { expected: T::NAME, found: known.name.clone() });
        }
        let mut datum = &bytes[HEADER_BYTES..];
        let decoded = match &known.ours {
            None => known.reader.read_deser(&mut datum),
            Some(ours) => known
                .reader
                .read_value(&mut datum)
                .and_then(|value| ours.writer.write_value_to_vec(value))
                .and_then(|datum| ours.reader.read_deser(&mut datum.as_slice())),
        };
        decoded.map_err(|source| DecodeError::Damaged { name: T::NAME, source: Box::new(source) })
    }

    /// The name of the record that `bytes` hold, to choose among several types on a topic.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn name_of(&self, bytes: &[u8]) -> Result<String, DecodeError> {
        self.known(bytes).map(|known| known.name.clone())
    }

    fn known(&self, bytes: &[u8]) -> Result<Arc<Known>, DecodeError> {
        let &[0, a, b, c, d, ..] = bytes else { return Err(DecodeError::NotFramed) };
        let id = u32::from_be_bytes([a, b, c, d]);
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        let known = readers.get(&id).cloned();
        known.ok_or_else(|| {
            self.ask(id);
            DecodeError::UnknownSchema(id)
        })
    }
}

/// Schemas live as long as the process: there are few, and readers borrow them.
fn parse(text: &str) -> Result<&'static Schema, Box<apache_avro::Error>> {
    Ok(Box::leak(Box::new(Schema::parse_str(text).map_err(Box::new)?)))
}

fn known(schema: &'static Schema) -> Result<Known, Box<apache_avro::Error>> {
    let name = schema.name().map(|name| name.name().to_owned()).unwrap_or_default();
    let reader = GenericDatumReader::builder(schema).human_readable(true).build().map_err(Box::new)?;
    Ok(Known { name, reader, ours: None })
}

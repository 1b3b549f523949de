//! What a message can hold beside its text, as clients ask for it: checked here, and sealed before it enters any topic.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::Moment;
use crate::domain::Timestamp;
use crate::domain::conversation::PollRules;
use crate::gateway::failure::{Failure, json};
use crate::gateway::shapes::{Contact, Content, Point, Question};

/// The most phone numbers, and the most addresses, of a contact.
const MAX_WAYS: usize = 20;
/// The longest name, number or address of a contact, and the longest answer of a poll.
const MAX_LINE_BYTES: usize = 256;

/// A place, which may move until a time.
#[derive(Deserialize, JsonSchema)]
pub struct Location {
    /// Degrees north.
    #[schemars(range(min = -90, max = 90))]
    lat: f64,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    lon: f64,
    /// Radius in metres.
    #[schemars(range(min = 0))]
    accuracy_m: Option<f64>,
    /// Until when it moves; none: it does not.
    live_until: Option<Moment>,
}

/// What is to be voted on, and how votes are counted.
#[derive(Deserialize, JsonSchema)]
pub struct Poll {
    /// What is asked.
    #[schemars(length(min = 1))]
    question: String,
    /// What can be answered.
    #[schemars(length(min = 2, max = 20))]
    options: Vec<String>,
    /// Whether one may choose several.
    #[serde(default)]
    multiple: bool,
    /// When it ends; none: when it is ended.
    closes_at: Option<Moment>,
}

/// Fields of `message.send` of which at most one is set.
pub struct Asked {
    /// A place.
    pub location: Option<Location>,
    /// A card.
    pub contact: Option<Contact>,
    /// What is to be voted on.
    pub poll: Option<Poll>,
}

/// What is sealed, and what is not because `decide` needs it.
#[derive(Default)]
pub struct Checked {
    /// JSON of [`Content`].
    pub content: Option<String>,
    /// Of a location.
    pub live_until: Option<Timestamp>,
    /// Of a poll.
    pub poll: Option<PollRules>,
}

impl Location {
    /// The place as it is sealed, and until when it moves.
    pub fn checked(self) -> Result<(String, Option<Timestamp>), Failure> {
        let Self { lat, lon, accuracy_m, live_until } = self;
        if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon) {
            return Err(Failure::bad_request("location: lat is from -90 to 90, lon from -180 to 180"));
        }
        if accuracy_m.is_some_and(|accuracy_m| !(0.0..=1e8).contains(&accuracy_m)) {
            return Err(Failure::bad_request("location: accuracy_m is the radius in metres"));
        }
        let content = Content { location: Some(Point { lat, lon, accuracy_m }), ..Content::default() };
        Ok((json(&content), live_until.map(|Moment(until)| until)))
    }
}

impl Asked {
    /// What of it is there, if it is well formed and not larger than `max_bytes`.
    pub fn checked(self, max_bytes: usize) -> Result<Checked, Failure> {
        let checked = match (self.location, self.contact, self.poll) {
            (None, None, None) => Checked::default(),
            (Some(location), None, None) => {
                let (content, live_until) = location.checked()?;
                Checked { content: Some(content), live_until, poll: None }
            }
            (None, Some(contact), None) => {
                check_contact(&contact)?;
                let content = Content { contact: Some(contact), ..Content::default() };
                Checked { content: Some(json(&content)), ..Checked::default() }
            }
            (None, None, Some(poll)) => {
                let (content, poll) = check_poll(poll)?;
                Checked { content: Some(json(&content)), poll: Some(poll), ..Checked::default() }
            }
            _ => return Err(Failure::bad_request("a message holds one of location, contact and poll")),
        };
        let bytes = checked.content.as_ref().map_or(0, String::len);
        if bytes > max_bytes {
            return Err(Failure::too_large(format!("the content has {bytes} bytes; at most {max_bytes} are allowed")));
        }
        Ok(checked)
    }
}

fn is_line(text: &str) -> bool {
    (1..=MAX_LINE_BYTES).contains(&text.len())
}

fn check_contact(contact: &Contact) -> Result<(), Failure> {
    let Contact { name, phones, emails, user: _ } = contact;
    if phones.len() > MAX_WAYS || emails.len() > MAX_WAYS {
        return Err(Failure::bad_request(format!("contact: at most {MAX_WAYS} phones and as many emails")));
    }
    if !is_line(name) || !phones.iter().chain(emails).all(|line| is_line(line)) {
        return Err(Failure::bad_request(format!(
            "contact: name, phones and emails have 1 to {MAX_LINE_BYTES} bytes each"
        )));
    }
    Ok(())
}

fn check_poll(poll: Poll) -> Result<(Content, PollRules), Failure> {
    let Poll { question, options, multiple, closes_at } = poll;
    if question.is_empty() {
        return Err(Failure::bad_request("poll: question is empty"));
    }
    if !options.iter().all(|option| is_line(option)) {
        return Err(Failure::bad_request(format!("poll: options have 1 to {MAX_LINE_BYTES} bytes each")));
    }
    let (count, closes_at) = (i32::try_from(options.len()).unwrap_or(i32::MAX), closes_at.map(|Moment(at)| at));
    let content = Content { poll: Some(Question { question, options }), ..Content::default() };
    Ok((content, PollRules { options: count, multiple, closes_at }))
}

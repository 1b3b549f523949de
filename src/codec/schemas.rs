//! Every version of every schema that was ever written, compiled in. Ids are for ever: they stand in records.

/// A version of a schema.
#[derive(Debug)]
pub struct SchemaVersion {
    /// Number in the compiled-in registry.
    pub id: u32,
    /// Name without namespace, as the file in `schemas/`.
    pub name: &'static str,
    /// 1, 2, 3 … within the name.
    pub version: u32,
    /// The topics whose values follow it.
    pub topics: &'static [&'static str],
    /// The Avro schema.
    pub text: &'static str,
}

/// Added to the numbers below. A registry of the installation's own gives out small ids, and its records and ours must never be taken for
/// each other: also not where a registry is taken up later.
const FIRST_ID: u32 = 0x7469_0000;

macro_rules! schemas {
    ($($id:literal $name:literal $version:literal [$($topic:literal)+])+) => {
        &[$(SchemaVersion {
            id: FIRST_ID + $id,
            name: $name,
            version: $version,
            topics: &[$($topic),+],
            text: include_str!(concat!("../../schemas/history/", $name, ".", $version, ".avsc")),
        }),+]
    };
}

/// Oldest version first within a name; the newest is what this program writes.
pub static SCHEMAS: &[SchemaVersion] = schemas! {
    1 "ConversationCommand" 1 ["conversation-commands"]
    18 "ConversationCommand" 2 ["conversation-commands"]
    32 "ConversationCommand" 3 ["conversation-commands"]
    2 "UserCommand" 1 ["user-commands"]
    23 "UserCommand" 2 ["user-commands"]
    30 "UserCommand" 3 ["user-commands"]
    17 "UserKeyRewrap" 1 ["user-commands"]
    3 "JournalRecord" 1 ["conversation-journal" "user-journal"]
    4 "ConversationEvent" 1 ["conversation-events"]
    19 "ConversationEvent" 2 ["conversation-events"]
    5 "Receipt" 1 ["receipts"]
    20 "Receipt" 2 ["receipts"]
    21 "MemberState" 1 ["member-state"]
    33 "MemberState" 2 ["member-state"]
    6 "UserEvent" 1 ["user-events"]
    24 "UserEvent" 2 ["user-events"]
    31 "UserEvent" 3 ["user-events"]
    7 "UserKey" 1 ["user-keys"]
    8 "Session" 1 ["sessions"]
    9 "GatewayClaim" 1 ["sessions"]
    10 "Presence" 1 ["presence"]
    11 "Delivery" 1 ["deliveries"]
    22 "Delivery" 2 ["deliveries"]
    12 "Marks" 1 ["deliveries"]
    13 "Notification" 1 ["notifications"]
    25 "CrowdNotification" 1 ["notifications"]
    14 "Signal" 1 ["conversation-signals"]
    15 "DeadLetter" 1 ["dead-letters"]
    16 "Checkpoint" 1 ["checkpoints"]
};

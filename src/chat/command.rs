//! What a line of input means: a message, or a command that starts with a slash.

/// One line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Say(String),
    Create { name: String, users: Vec<String> },
    With(String),
    Add(Vec<String>),
    Remove(Vec<String>),
    Leave,
    Join(String),
    Who,
    Help,
    Quit,
}

/// Shown by `/help`, one line each.
pub(crate) const HELP: [&str; 12] = [
    "/with USER             open the conversation with a user",
    "/create NAME USER…     start a group; \"a name\" may be quoted",
    "/add USER…             add users to this conversation",
    "/remove USER…          remove users from it",
    "/join ID               join a conversation",
    "/leave                 leave this one",
    "/who                   list its members",
    "/quit                  leave the chat (or Esc, Ctrl-C)",
    "Tab, Ctrl-N, Ctrl-P    switch conversation",
    "Up, Down, PgUp, PgDn   scroll, and load older messages",
    "Alt-Enter              a line break; //text says /text",
    "USER is an id (usr_…) or the name of somebody seen here",
];

/// Reads a line. An `Err` says how to write it.
pub(crate) fn parse(line: &str) -> Result<Command, &'static str> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Command::Say(line.to_owned())) };
    if command.starts_with('/') {
        return Ok(Command::Say(command.to_owned()));
    }
    let mut words = words(command).into_iter();
    let name = words.next().unwrap_or_default();
    let mut rest: Vec<String> = words.collect();
    match (name.as_str(), rest.len()) {
        ("create", 1..) => Ok(Command::Create { name: rest.remove(0), users: rest }),
        ("create", _) => Err("write /create NAME USER…"),
        ("with", 1) => Ok(Command::With(rest.remove(0))),
        ("with", _) => Err("write /with USER"),
        ("add", 1..) => Ok(Command::Add(rest)),
        ("add", _) => Err("write /add USER…"),
        ("remove", 1..) => Ok(Command::Remove(rest)),
        ("remove", _) => Err("write /remove USER…"),
        ("join", 1) => Ok(Command::Join(rest.remove(0))),
        ("join", _) => Err("write /join ID"),
        ("leave", 0) => Ok(Command::Leave),
        ("who", 0) => Ok(Command::Who),
        ("help" | "?", _) => Ok(Command::Help),
        ("quit" | "exit", 0) => Ok(Command::Quit),
        _ => Err("no such command; /help lists them"),
    }
}

/// Splits at spaces; double quotes keep them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_and_slashes_are_commands() {
        assert_eq!(parse("hello /world"), Ok(Command::Say("hello /world".into())));
        assert_eq!(parse("//etc"), Ok(Command::Say("/etc".into())));
        let create = Command::Create { name: "a b".into(), users: vec!["usr_1".into(), "usr_2".into()] };
        assert_eq!(parse("/create \"a b\" usr_1  usr_2"), Ok(create));
        assert_eq!(parse("/leave"), Ok(Command::Leave));
        assert!(parse("/with").is_err() && parse("/dance").is_err() && parse("/").is_err());
    }
}

//! The laws of conversations, on random commands.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use tidings::domain::conversation::{Decision, Event, Located, MessageEdited, decide, evolve};
use tidings::domain::policy::{ConversationKind, Role};
use tidings::domain::{Timestamp, UserId};

use crate::given::{Given, NOW, command, reporting, send, tenant, user};

proptest! {
    #[test]
    fn positions_and_seqs_have_no_gap_and_time_never_goes_back(
        steps in prop::collection::vec((0..6u8, command(), -50..50i64), 1..80)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2]);
        for (actor, command, drift) in steps {
            given.at = NOW + drift;
            given.when(actor, command);
        }
        let positions: Vec<_> = given.events.iter().map(|e| e.position).filter(|p| *p > 0).collect();
        prop_assert_eq!(&positions, &(1..=positions.len() as i64).collect::<Vec<_>>());
        let seqs: Vec<_> = given.events.iter().map(|e| e.event.seq()).filter(|s| *s > 0).collect();
        prop_assert_eq!(&seqs, &(1..=seqs.len() as i64).collect::<Vec<_>>());
        let times: Vec<_> = given.events.iter().filter(|e| e.position > 0).map(|e| e.at).collect();
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn deciding_is_deterministic_and_replay_is_live(steps in prop::collection::vec((0..6u8, command()), 1..60)) {
        let mut given = Given::nothing();
        for (actor, command) in steps {
            let input = given.input(actor, command.clone());
            let twice = [decide(given.state.as_ref(), &input), decide(given.state.as_ref(), &input)];
            prop_assert_eq!(&twice[0], &twice[1]);
            given.when(actor, command);
        }
        let mut replayed = None;
        for recorded in &given.events {
            evolve(&mut replayed, given.id, tenant(), recorded);
        }
        prop_assert_eq!(replayed, given.state);
    }

    #[test]
    fn a_message_is_sent_once_whatever_is_sent_again(
        steps in prop::collection::vec((0..3u8, 0..6u8), 1..60)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2]);
        let mut told = HashMap::new();
        for (actor, n) in steps {
            let (seq, position, duplicate) = match given.when(actor, send(n)) {
                Decision::Record(recorded) => (recorded.event.seq(), recorded.position, false),
                Decision::Done(done) => (done.seq, done.position, done.duplicate),
                Decision::Reject(rejection) => panic!("{rejection}"),
            };
            let first = told.insert((actor, n), (seq, position));
            prop_assert_eq!(duplicate, first.is_some());
            prop_assert_eq!(first.unwrap_or((seq, position)), (seq, position));
        }
    }

    #[test]
    fn there_is_an_owner_as_long_as_there_is_a_member(
        kind in prop::sample::select(&[ConversationKind::Group, ConversationKind::Channel]),
        steps in prop::collection::vec((0..6u8, command()), 1..80),
    ) {
        let mut given = Given::group(kind, &[1, 2, 3]);
        given.moderator = Some(5);
        for (actor, command) in steps {
            given.when(actor, command);
            let state = given.state.as_ref().expect("created");
            prop_assert!(state.members.is_empty() || state.members.values().any(|m| m.role == Role::Owner));
            let slots: HashSet<_> = state.members.values().map(|m| m.slot).collect();
            prop_assert_eq!(slots.len(), state.members.len());
            prop_assert!(state.members.values().all(|m| m.read_seq <= m.delivered_seq && m.delivered_seq <= state.last_seq));
        }
    }

    #[test]
    fn a_removed_message_is_gone_and_everything_that_was_of_it_is_named(
        steps in prop::collection::vec((0..4u8, command()), 1..80)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2, 3]);
        given.moderator = Some(3);
        let mut content: HashMap<i64, Vec<i64>> = HashMap::new();
        for (actor, command) in steps {
            let Decision::Record(recorded) = given.when(actor, command) else { continue };
            match &recorded.event {
                Event::Sent(sent) => content.entry(sent.seq).or_default().push(recorded.position),
                Event::Edited(MessageEdited { seq, .. }) | Event::Located(Located { seq, .. }) => {
                    content.get_mut(seq).expect("it is there").push(recorded.position);
                }
                Event::Deleted(deleted) => {
                    for removed in &deleted.messages {
                        prop_assert_eq!(content.remove(&removed.seq), Some(removed.positions.clone()));
                    }
                }
                Event::Reacted(of) | Event::Unreacted(of) => prop_assert!(content.contains_key(&of.seq)),
                Event::Pinned(of) => prop_assert!(content.contains_key(&of.seq)),
                _ => {}
            }
            let state = given.state.as_ref().expect("created");
            prop_assert!(state.pins.iter().all(|seq| content.contains_key(seq)));
            let known: HashSet<_> = state.known.messages.keys().copied().collect();
            prop_assert_eq!(known, content.keys().copied().collect());
        }
    }

    #[test]
    fn a_message_waits_from_its_first_report_until_it_is_resolved(
        steps in prop::collection::vec(
            (0..4u8, prop_oneof![3 => (0..9u8).prop_map(send), 6 => reporting(), 1 => command()]), 1..60)
    ) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2, 3]);
        given.moderator = Some(2);
        let mut waiting: HashMap<i64, Timestamp> = HashMap::new();
        for (actor, command) in steps {
            given.at += 1;
            let before = given.state.clone();
            let Decision::Record(recorded) = given.when(actor, command) else { continue };
            match &recorded.event {
                Event::Reported(report) => {
                    let since = *waiting.entry(report.seq).or_insert(recorded.at);
                    prop_assert_eq!((report.opened_at, recorded.position), (since, 0));
                    let message = &before.expect("created").known.messages[&report.seq];
                    prop_assert!(report.sender == message.sender && report.sender != recorded.actor);
                }
                Event::Resolved(resolution) => {
                    prop_assert_eq!((recorded.actor, recorded.position), (user(2), 0));
                    waiting.remove(&resolution.seq);
                }
                _ => {}
            }
            let known = &given.state.as_ref().expect("created").known.reports;
            let opened = known.iter().filter_map(|(seq, reports)| Some((*seq, reports.opened_at?)));
            prop_assert_eq!(opened.collect::<HashMap<_, _>>(), waiting.clone());
        }
    }

    #[test]
    fn reactions_are_counted_once_each(steps in prop::collection::vec((0..4u8, command()), 1..80)) {
        let mut given = Given::group(ConversationKind::Group, &[1, 2, 3]);
        let mut reacted: HashSet<(i64, UserId, String)> = HashSet::new();
        for (actor, command) in steps {
            let Decision::Record(recorded) = given.when(actor, command) else { continue };
            match &recorded.event {
                Event::Reacted(of) => prop_assert!(reacted.insert((of.seq, recorded.actor, of.emoji.clone()))),
                Event::Unreacted(of) => prop_assert!(reacted.remove(&(of.seq, recorded.actor, of.emoji.clone()))),
                Event::Deleted(deleted) => {
                    reacted.retain(|(seq, ..)| deleted.messages.iter().all(|removed| removed.seq != *seq));
                }
                _ => {}
            }
            let state = given.state.as_ref().expect("created");
            let counted: i64 = state.known.messages.values().flat_map(|message| message.reactions.values()).sum();
            prop_assert_eq!(counted, reacted.len() as i64);
        }
    }
}

//! What may be done, as proptest makes it up.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidings::domain::policy::ShownTo;

/// Who does what where, as numbers that a history gives a meaning to.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) place: Index,
    pub(super) actor: Index,
    pub(super) others: Vec<Index>,
    pub(super) what: What,
}

/// What is done.
#[derive(Clone, Debug)]
pub(super) enum What {
    Send {
        /// Which of `with_more`.
        more: u8,
        mentions: Option<bool>,
        again: bool,
    },
    Read {
        back: u8,
    },
    Add,
    Remove,
    Join,
    Leave,
    Delivered {
        back: u8,
    },
    Edit {
        back: u8,
        text: u8,
    },
    Delete {
        back: u8,
    },
    Expire {
        back: u8,
    },
    Locate {
        back: u8,
    },
    Vote {
        back: u8,
        options: (bool, bool),
    },
    ClosePoll {
        back: u8,
    },
    ReadThread {
        thread: Index,
        back: u8,
    },
    React {
        back: u8,
        emoji: u8,
        take_back: bool,
    },
    Pin {
        back: u8,
        unpin: bool,
    },
    Update {
        name: Option<bool>,
        topic: Option<bool>,
        history: Option<bool>,
    },
    Role {
        role: Index,
    },
    Settings {
        muted: Option<bool>,
        pinned: Option<bool>,
        archived: Option<bool>,
    },
    Hide {
        back: u8,
    },
    Draft(bool),
    Block(bool),
    /// In one's own journal.
    BlockUser(bool),
    Invite {
        revoke: bool,
    },
    Accept,
    Decline,
    Report {
        back: u8,
        comment: u8,
    },
    Resolve {
        of: Index,
        outcome: Index,
    },
    /// To whom one shows oneself.
    Privacy(Option<ShownTo>, Option<ShownTo>),
    /// Whether one moderates the tenant.
    Moderator(bool),
    Ban {
        lift: bool,
        ends: bool,
    },
    Mute {
        lift: bool,
        ends: bool,
    },
    /// An event of a type that this program does not know.
    Invent,
    /// A profile with this name.
    Put(Option<String>),
}

/// Any steps.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let rarer = prop_oneof![
        3 => (0_u8..3).prop_map(|back| What::Delivered { back }),
        4 => (0_u8..3, 0_u8..2).prop_map(|(back, text)| What::Edit { back, text }),
        3 => (0_u8..3).prop_map(|back| What::Delete { back }),
        6 => (0_u8..3, 0_u8..2, prop::bool::weighted(0.4))
            .prop_map(|(back, emoji, take_back)| What::React { back, emoji, take_back }),
        3 => (0_u8..3, prop::bool::weighted(0.3)).prop_map(|(back, unpin)| What::Pin { back, unpin }),
        3 => any::<(Option<bool>, Option<bool>, Option<bool>)>()
            .prop_map(|(name, topic, history)| What::Update { name, topic, history }),
        2 => any::<Index>().prop_map(|role| What::Role { role }),
        3 => any::<(Option<bool>, Option<bool>, Option<bool>)>()
            .prop_map(|(muted, pinned, archived)| What::Settings { muted, pinned, archived }),
        2 => (0_u8..3).prop_map(|back| What::Hide { back }),
        2 => any::<bool>().prop_map(What::Draft),
    ];
    let contents = prop_oneof![
        2 => (0_u8..3).prop_map(|back| What::Expire { back }),
        2 => (0_u8..3).prop_map(|back| What::Locate { back }),
        5 => (0_u8..3, any::<(bool, bool)>()).prop_map(|(back, options)| What::Vote { back, options }),
        1 => (0_u8..3).prop_map(|back| What::ClosePoll { back }),
        3 => (any::<Index>(), 0_u8..2).prop_map(|(thread, back)| What::ReadThread { thread, back }),
    ];
    let restrictions = prop_oneof![
        3 => any::<(bool, bool)>().prop_map(|(lift, ends)| What::Ban { lift, ends }),
        2 => any::<(bool, bool)>().prop_map(|(lift, ends)| What::Mute { lift, ends }),
        2 => any::<bool>().prop_map(What::Block),
        3 => prop::bool::weighted(0.3).prop_map(|revoke| What::Invite { revoke }),
        4 => Just(What::Accept),
        1 => Just(What::Decline),
    ];
    let reports = prop_oneof![
        4 => (0_u8..2, 0_u8..3).prop_map(|(back, comment)| What::Report { back, comment }),
        3 => any::<(Index, Index)>().prop_map(|(of, outcome)| What::Resolve { of, outcome }),
    ];
    let common = prop_oneof![
        8 => (any::<Option<bool>>(), prop::bool::weighted(0.2), 0_u8..10)
            .prop_map(|(mentions, again, more)| What::Send { mentions, again, more }),
        6 => (0_u8..3).prop_map(|back| What::Read { back }),
        3 => Just(What::Add),
        3 => Just(What::Remove),
        3 => Just(What::Join),
        3 => Just(What::Leave),
        2 => Just(What::Invent),
        2 => prop::option::of("[a-z\\x00]{0,3}").prop_map(What::Put),
    ];
    vec(step(prop_oneof![8 => common, 8 => rarer, 4 => contents, 2 => restrictions, 5 => reports]), 1..most)
}

/// Of users only.
pub fn profiles(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let shown_to = || prop::option::of(prop::sample::select(ShownTo::ALL));
    let what = prop_oneof![
        prop::option::of("[a-z\\x00]{0,3}").prop_map(What::Put),
        any::<bool>().prop_map(What::BlockUser),
        (shown_to(), shown_to()).prop_map(|(presence, last_seen)| What::Privacy(presence, last_seen)),
        any::<bool>().prop_map(What::Moderator),
    ];
    vec(step(what), 1..most)
}

fn step(what: impl Strategy<Value = What>) -> impl Strategy<Value = Step> {
    let step = (any::<Index>(), any::<Index>(), vec(any::<Index>(), 1..4), what);
    step.prop_map(|(place, actor, others, what)| Step { place, actor, others, what })
}

//! Conversations with support: a customer, a bot that does not always understand, and people who
//! take over.
//!
//! The customer and the other side take turns. After the bot failed, or when the subject asks for
//! it, an agent takes over and stays.

use super::draw::Draw;
use super::ids;
use super::payment::{Payee, payee_country, payee_name};
use super::scene::Scene;
use super::schedule::{Planned, Room, Step};
use super::text::{self, Blanks};
use super::{Scenario, Truth};
use crate::event::{Author, Chat, Millis, Text};

/// What a conversation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Balance,
    CardDelivery,
    Declined,
    ExchangeRate,
    RaiseLimit,
    Refund,
    Statement,
    ChangeContact,
    LostCard,
    LostPhone,
    Subscription,
    Hardship,
    Complaint,
    Unrecognised,
}

/// What genuine customers ask about, and how often, relatively.
const GENUINE: [(Topic, f64); 14] = [
    (Topic::Balance, 14.0),
    (Topic::CardDelivery, 9.0),
    (Topic::Declined, 12.0),
    (Topic::ExchangeRate, 6.0),
    (Topic::RaiseLimit, 7.0),
    (Topic::Refund, 10.0),
    (Topic::Statement, 8.0),
    (Topic::ChangeContact, 5.0),
    (Topic::LostCard, 4.0),
    (Topic::LostPhone, 2.0),
    (Topic::Subscription, 8.0),
    (Topic::Hardship, 2.5),
    (Topic::Complaint, 5.0),
    (Topic::Unrecognised, 1.5),
];

/// A conversation before its next message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation {
    pub serial: u64,
    pub account: u32,
    pub topic: Topic,
    pub turn: u8,
    pub turns: u8,
    pub by_fraudster: bool,
    /// the payment it is about, if it is about one that happened: amount and payee
    pub about: Option<(i64, Payee)>,
    channel: u8,
    with_agent: bool,
    /// the agent said who they are
    introduced: bool,
    /// the customer said thanks
    closed: bool,
    /// times in a row that the bot did not understand
    misses: u8,
}

impl Conversation {
    pub(super) fn new(serial: u64, account: u32, topic: Topic, turns: u8) -> Conversation {
        Conversation {
            serial,
            account,
            topic,
            turn: 0,
            turns,
            by_fraudster: false,
            about: None,
            channel: (serial % 5) as u8,
            with_agent: false,
            introduced: false,
            closed: false,
            misses: 0,
        }
    }

    /// How many of its messages the customer writes.
    pub(super) fn customer_turns(&self) -> u64 {
        u64::from(self.turns.div_ceil(2))
    }

    fn author(&self) -> Author {
        match (self.turn % 2, self.with_agent) {
            (0, _) => Author::Customer,
            (_, false) => Author::Bot,
            (_, true) => Author::Agent,
        }
    }
}

/// A genuine conversation that begins now.
pub(super) fn arrive(scene: &mut Scene, at: i64) -> Planned {
    let account = scene.awake_account(at);
    let topic = GENUINE[scene.draw.weighted(&GENUINE.map(|(_, weight)| weight))].0;
    let turns = turns(&mut scene.draw);
    let serial = scene.next_conversation();
    Planned {
        at,
        truth: Truth::default(),
        step: Step::Message(Conversation::new(serial, account, topic, turns)),
    }
}

/// How many messages a conversation has.
pub(super) fn turns(draw: &mut Draw) -> u8 {
    2 + draw.weighted(&[0.14, 0.12, 0.24, 0.14, 0.18, 0.08, 0.1]) as u8
}

/// The id of a conversation's message.
pub(super) fn message_id(conversation: u64, turn: u8) -> Text<'static> {
    Text::from(format!("msg-{conversation:07}-{turn}"))
}

/// The message whose turn it is, and whether a fraudster wrote it; plans the next one.
pub(super) fn play(
    scene: &mut Scene,
    conversation: &Conversation,
    planned: &Planned,
    event_id: Text<'static>,
) -> (Chat<'static>, bool) {
    let mut next = *conversation;
    let author = conversation.author();
    let (text, bot) = match author {
        Author::Customer => (customer(scene, &mut next), None),
        Author::Bot => {
            let (text, confidence, intent) = bot(scene, &mut next);
            (text, Some((confidence, intent)))
        }
        Author::Agent => (agent(scene, &mut next), None),
    };
    next.turn += 1;
    if next.turn < next.turns {
        let wait_ms = match next.author() {
            Author::Customer => scene.draw.log_uniform(8_000.0, 120_000.0),
            Author::Bot => scene.draw.log_uniform(800.0, 3_000.0),
            Author::Agent => scene.draw.log_uniform(15_000.0, 240_000.0),
        };
        let follow = [Planned {
            at: planned.at + wait_ms as i64,
            truth: planned.truth,
            step: Step::Message(next),
        }];
        // without room the customer hangs up
        let room = match planned.truth.scenario {
            Some(_) => Room::Episode,
            None => Room::Conversation,
        };
        let _ = scene.schedule.admit(room, &follow);
    }
    let country = scene.world.account(conversation.account).country();
    let absent = scene.settings.absent_share;
    let chat = Chat {
        event_id,
        event_time: Millis(planned.at),
        tenant: Text::from("default"),
        account_id: ids::account(conversation.account),
        conversation_id: ids::numbered("conv-", conversation.serial, 7),
        message_id: message_id(conversation.serial, conversation.turn),
        author,
        text,
        channel: Text::from(
            ["web", "app", "app", "web", "phone"][usize::from(conversation.channel)],
        ),
        language: (!scene.draw.chance(absent)).then(|| Text::from(country.language)),
        bot_confidence: bot.map(|(confidence, _)| confidence),
        bot_intent: bot.and_then(|(_, intent)| intent).map(Text::from),
    };
    (chat, conversation.by_fraudster && author == Author::Customer)
}

fn blanks(scene: &mut Scene, conversation: &Conversation) -> Blanks {
    let blanks = Blanks::new(&scene.world, conversation.account);
    match conversation.about {
        Some((amount_minor, payee)) => blanks.paid(
            amount_minor,
            payee_country(payee, conversation.account, &scene.world).currency,
            payee_name(payee, &scene.world),
        ),
        None => blanks,
    }
}

fn customer(scene: &mut Scene, next: &mut Conversation) -> Text<'static> {
    let words = text::topic(next.topic);
    let last = next.turn + 2 >= next.turns;
    let helped = next.with_agent || !words.needs_agent;
    let settled = last && helped && !next.by_fraudster;
    let sentence = if next.turn == 0 {
        scene.draw.pick(words.openers)
    } else if next.misses > 0 {
        if next.misses > 1 || scene.draw.chance(0.5) {
            next.with_agent = true;
            scene.draw.pick(&text::WANTS_A_PERSON)
        } else {
            scene.draw.pick(&text::NOT_UNDERSTOOD)
        }
    } else if settled {
        next.closed = true;
        scene.draw.pick(&text::THANKS)
    } else {
        scene.draw.pick(words.follow_ups)
    };
    let blanks = blanks(scene, next);
    let greeting = if next.turn == 0 && scene.draw.chance(0.4) {
        scene.draw.pick(&text::GREETINGS)
    } else {
        ""
    };
    if greeting.is_empty() && !sentence.contains('{') {
        return Text::from(sentence);
    }
    Text::from(format!("{greeting}{}", blanks.fill(sentence, &mut scene.draw)))
}

fn bot(scene: &mut Scene, next: &mut Conversation) -> (Text<'static>, f64, Option<&'static str>) {
    let words = text::topic(next.topic);
    if next.closed {
        let sentence = scene.draw.pick(&text::GOODBYES);
        return (Text::from(sentence), 0.99, Some("goodbye"));
    }
    let understood = scene.draw.chance(words.bot_skill);
    let (low, high) = if understood { (0.62, 0.99) } else { (0.12, 0.55) };
    let confidence = low + (high - low) * scene.draw.unit();
    let confidence = (confidence * 1_000.0).round() / 1_000.0;
    if !understood {
        next.misses += 1;
        return (Text::from(scene.draw.pick(&text::BOT_MISSES)), confidence, None);
    }
    next.misses = 0;
    if words.needs_agent && next.turn > 0 && scene.draw.chance(0.6) {
        next.with_agent = true;
    }
    // one after the other, so that it does not repeat itself at once
    let sentence = words.bot[usize::from(next.turn / 2) % words.bot.len()];
    (Text::from(sentence), confidence, Some(words.intent))
}

fn agent(scene: &mut Scene, next: &mut Conversation) -> Text<'static> {
    next.misses = 0;
    if next.closed {
        return Text::from(scene.draw.pick(&text::GOODBYES));
    }
    let words = text::topic(next.topic);
    let blanks = blanks(scene, next);
    let sentence = blanks.fill(scene.draw.pick(words.agent), &mut scene.draw);
    if !next.introduced {
        next.introduced = true;
        let name = scene.draw.pick(&text::AGENT_NAMES);
        return Text::from(format!("This is {name} from support. {sentence}"));
    }
    sentence
}

/// The victim of a fraud asks about the payment.
pub(super) fn victim_asks(
    scene: &mut Scene,
    account: u32,
    about: (i64, Payee),
    at: i64,
    truth: Truth,
) -> Planned {
    let turns = turns(&mut scene.draw).max(4);
    let serial = scene.next_conversation();
    let mut conversation = Conversation::new(serial, account, Topic::Unrecognised, turns);
    conversation.about = Some(about);
    Planned { at, truth: Truth { fraud: false, ..truth }, step: Step::Message(conversation) }
}

/// A fraudster asks to change what the bank knows of the customer.
pub(super) fn fraudster_asks(scene: &mut Scene, account: u32, at: i64, episode: u64) -> Planned {
    let topic = scene.draw.pick(&[Topic::ChangeContact, Topic::ChangeContact, Topic::LostPhone]);
    let turns = turns(&mut scene.draw).clamp(3, 6);
    let serial = scene.next_conversation();
    let mut conversation = Conversation::new(serial, account, topic, turns);
    conversation.by_fraudster = true;
    Planned {
        at,
        truth: Truth {
            fraud: false,
            scenario: Some(Scenario::AccountTakeover),
            episode: Some(episode),
        },
        step: Step::Message(conversation),
    }
}

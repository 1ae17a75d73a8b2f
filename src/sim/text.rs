//! What people write: templates whose blanks are filled with amounts, shops, places and days.
//! Every sentence was written for this file.

use super::chats::Topic;
use super::disputes::Ground;
use super::draw::Draw;
use super::ids;
use super::places::CITIES;
use super::world::World;
use crate::event::{Text, Verdict};

/// The words of one topic.
pub(super) struct Words {
    /// the bot's name for it
    pub intent: &'static str,
    /// how often the bot understands it
    pub bot_skill: f64,
    /// whether the bot may not settle it alone
    pub needs_agent: bool,
    pub openers: &'static [&'static str],
    pub follow_ups: &'static [&'static str],
    pub bot: &'static [&'static str],
    pub agent: &'static [&'static str],
}

/// What stands in the blanks of a template.
pub(super) struct Blanks {
    currency: &'static str,
    /// a usual amount, minor units
    usual_minor: f64,
    city: &'static str,
    paid: Option<(i64, String)>,
}

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Blanks {
    pub(super) fn new(world: &World, account: u32) -> Blanks {
        let account = world.account(account);
        Blanks {
            currency: account.country().currency,
            usual_minor: account.median_minor,
            city: CITIES[usize::from(account.city)].name,
            paid: None,
        }
    }

    /// About this amount and payee, instead of any.
    pub(super) fn paid(
        mut self,
        amount_minor: i64,
        currency: &'static str,
        payee: String,
    ) -> Blanks {
        self.paid = Some((amount_minor, payee));
        self.currency = currency;
        self
    }

    /// The template with its blanks filled.
    pub(super) fn fill(&self, template: &'static str, draw: &mut Draw) -> Text<'static> {
        if !template.contains('{') {
            return Text::from(template);
        }
        let mut text = String::with_capacity(template.len() + 16);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (blank, after) = after.split_once('}').unwrap_or((after, ""));
            match blank {
                "amount" => text.push_str(&self.amount(draw)),
                "shop" => text.push_str(&self.shop(draw)),
                "city" => text.push_str(self.city),
                "day" => text.push_str(draw.pick(&DAYS)),
                // a misspelt blank is found by the test below
                other => text.push_str(other),
            }
            rest = after;
        }
        text.push_str(rest);
        Text::from(text)
    }

    fn amount(&self, draw: &mut Draw) -> String {
        let minor = match self.paid {
            Some((minor, _)) => minor,
            None => draw.log_normal(self.usual_minor * 2.0, 0.8) as i64,
        };
        if self.currency == "JPY" {
            format!("{minor} {}", self.currency)
        } else {
            format!("{}.{:02} {}", minor / 100, minor % 100, self.currency)
        }
    }

    fn shop(&self, draw: &mut Draw) -> String {
        match &self.paid {
            Some((_, payee)) => payee.clone(),
            None => ids::shop_name(draw.below(288)),
        }
    }
}

pub(super) const GREETINGS: [&str; 6] =
    ["Hi. ", "Hello. ", "Good morning. ", "Good evening. ", "Hey, quick one. ", "Hello there. "];

pub(super) const THANKS: [&str; 7] = [
    "Great, that settles it. Thanks.",
    "Thank you, that was all.",
    "OK, thanks for looking into it.",
    "Perfect, bye.",
    "Alright. I will wait for it then.",
    "That helps, thank you very much.",
    "Fine. Have a good day.",
];

pub(super) const NOT_UNDERSTOOD: [&str; 6] = [
    "That is not what I asked.",
    "No. Please read my question again.",
    "You already said that and it does not help.",
    "This answer has nothing to do with my question.",
    "I think you misunderstood me, let me say it again.",
    "Still wrong. It should not be this hard.",
];

pub(super) const WANTS_A_PERSON: [&str; 7] = [
    "Let me talk to a person, please.",
    "I want a human. Now.",
    "Can someone real take over? This bot is useless.",
    "Please put me through to an agent.",
    "I am going in circles here, connect me with your staff.",
    "Enough. I would like to speak to somebody who works there.",
    "Is there anyone I can call instead of typing to a machine?",
];

pub(super) const BOT_MISSES: [&str; 5] = [
    "I am not sure I got that. Could you put it another way?",
    "Sorry, I did not understand. You can ask me about cards, payments and transfers.",
    "Hmm, I have no answer to that yet. Did you mean opening hours?",
    "I did not quite follow. Please choose one of the topics below.",
    "Sorry, could you say that in fewer words?",
];

/// What the other side answers to thanks.
pub(super) const GOODBYES: [&str; 4] = [
    "You are welcome.",
    "Glad to help. Have a nice day.",
    "Any time. This conversation is closed now.",
    "Thank you for writing to us.",
];

pub(super) const AGENT_NAMES: [&str; 8] =
    ["Maren", "Tobias", "Aisha", "Luca", "Priya", "Jonas", "Camille", "Renata"];

/// What payers write to their bank when they contest a payment.
pub(super) fn complaints(ground: Ground) -> &'static [&'static str] {
    match ground {
        Ground::Fraud => &[
            "I did not make this payment of {amount}.",
            "I have never bought anything from {shop} and my card was with me.",
            "Somebody used my card. I know nothing about {amount}.",
            "I do not recognise {shop} and I did not authorise this.",
            "This was not me. Please give me the {amount} back.",
        ],
        Ground::NotReceived => &[
            "I paid {amount} to {shop} and the parcel never came.",
            "Nothing has arrived and {shop} does not answer my mails.",
            "It was due on {day} and the courier has no record of it.",
        ],
        Ground::NotAsDescribed => &[
            "What {shop} sent is not what was on the page.",
            "It broke on the first day and they will not take it back.",
            "The size and the colour are wrong. I want my {amount} back.",
        ],
        Ground::NoCredit => &[
            "{shop} promised a refund of {amount} and it is still missing.",
            "I returned everything on {day} and have a receipt, but no credit.",
        ],
        Ground::Twice => &[
            "I was charged twice for one purchase at {shop}.",
            "The same {amount} appears two times on my statement.",
        ],
        Ground::Cancelled => &[
            "I ended the subscription last month and was charged {amount} again.",
            "{shop} keeps charging me although I cancelled in writing.",
        ],
    }
}

/// What analysts write beside a verdict.
pub(super) fn notes(verdict: Verdict) -> &'static [&'static str] {
    match verdict {
        Verdict::Fraud => &[
            "customer denies it, device never seen before",
            "same pattern as other cases this week",
            "confirmed by phone with the account holder",
            "documents do not match",
        ],
        Verdict::FirstParty => &[
            "same device and address as undisputed orders, delivery signed",
            "third claim of this kind by the customer",
            "customer admitted the purchase when asked",
        ],
        Verdict::Genuine | Verdict::Unknown => &[
            "customer confirmed by push message",
            "travelling, boarding pass seen",
            "bought a new phone",
        ],
    }
}

/// The words of a topic.
pub(super) fn topic(topic: Topic) -> &'static Words {
    match topic {
        Topic::Balance => &BALANCE,
        Topic::CardDelivery => &CARD_DELIVERY,
        Topic::Declined => &DECLINED,
        Topic::ExchangeRate => &EXCHANGE_RATE,
        Topic::RaiseLimit => &RAISE_LIMIT,
        Topic::Refund => &REFUND,
        Topic::Statement => &STATEMENT,
        Topic::ChangeContact => &CHANGE_CONTACT,
        Topic::LostCard => &LOST_CARD,
        Topic::LostPhone => &LOST_PHONE,
        Topic::Subscription => &SUBSCRIPTION,
        Topic::Hardship => &HARDSHIP,
        Topic::Complaint => &COMPLAINT,
        Topic::Unrecognised => &UNRECOGNISED,
    }
}

static BALANCE: Words = Words {
    intent: "balance",
    bot_skill: 0.92,
    needs_agent: false,
    openers: &[
        "How much is left on my account?",
        "My balance looks {amount} too low, what is still pending?",
        "Did my salary come in on {day}?",
        "Can you tell me what I can still spend this week?",
        "Why does the app show two different balances?",
        "The transfer from {day} is not in my balance yet.",
    ],
    follow_ups: &[
        "And does that include the hold from the petrol station?",
        "When will the pending ones be booked?",
        "So {amount} is still reserved, right?",
        "Which of the two numbers should I go by?",
    ],
    bot: &[
        "Your available balance is the figure in bold; holds are already taken off.",
        "Pending payments usually settle within two working days.",
        "You can see every hold under Account, then Reserved.",
    ],
    agent: &["I see two holds that will drop off tonight. Your balance is right after that."],
};

static CARD_DELIVERY: Words = Words {
    intent: "card_delivery",
    bot_skill: 0.88,
    needs_agent: false,
    openers: &[
        "My new card should have been here by {day}.",
        "Where is my replacement card?",
        "You sent my card to the old flat, can you send it again?",
        "How long does the post take to {city}?",
        "I ordered a second card and heard nothing since.",
    ],
    follow_ups: &[
        "Is there a tracking number?",
        "I leave on {day}, can it be faster?",
        "Can I use it on my phone until then?",
    ],
    bot: &[
        "Cards arrive five to eight working days after they were ordered.",
        "Your card left the printer. You can already add it to your phone.",
        "Standard post has no tracking, sorry.",
    ],
    agent: &[
        "I have ordered a new one by courier at no cost.",
        "It was returned to us as undeliverable. Please check the address in the app.",
    ],
};

static DECLINED: Words = Words {
    intent: "payment_declined",
    bot_skill: 0.8,
    needs_agent: true,
    openers: &[
        "My card was refused at {shop} although I have money.",
        "Payment of {amount} failed three times, why?",
        "I am standing at the till in {city} and my card does not work.",
        "Declined again. What is wrong with my card?",
        "{shop} says my bank refused the payment.",
        "Contactless stopped working on {day}.",
    ],
    follow_ups: &[
        "I entered the right code, I am sure of it.",
        "Can you allow it if I try once more now?",
        "It worked at the shop next door a minute ago.",
        "Was that your fraud check again?",
    ],
    bot: &[
        "The last attempt was refused because the security code did not match.",
        "Contactless needs the code after five payments. Please insert the card once.",
        "Your online limit for today is used up. You can raise it in the app.",
    ],
    agent: &[
        "Our system took it for unusual. I have released it, please try again.",
        "The shop sent the wrong expiry date, so we had to refuse it.",
    ],
};

static EXCHANGE_RATE: Words = Words {
    intent: "exchange_rate",
    bot_skill: 0.9,
    needs_agent: false,
    openers: &[
        "Which rate did you use for my {amount}?",
        "Do I pay a fee when I use the card abroad?",
        "What does a cash machine in another country cost me?",
        "The rate on {day} was better than what you charged.",
    ],
    follow_ups: &[
        "Is that the rate of the day of purchase or of booking?",
        "And at weekends?",
        "So the machine's own conversion is worse?",
    ],
    bot: &[
        "We use the network's rate of the day of booking and add nothing.",
        "Cash abroad is free three times a month, after that a small fee applies.",
    ],
    agent: &["The cash machine converted it itself, so our rate did not apply."],
};

static RAISE_LIMIT: Words = Words {
    intent: "limit_change",
    bot_skill: 0.86,
    needs_agent: true,
    openers: &[
        "I want to buy a car on {day} and need a higher limit.",
        "Please raise my daily limit to {amount}.",
        "How do I change what I can spend online?",
        "My rent does not go through because of the transfer limit.",
    ],
    follow_ups: &[
        "Only for one day is enough.",
        "Do I need to confirm that somewhere?",
        "Why was it lowered in the first place?",
    ],
    bot: &[
        "You can change limits under Cards, then Limits. It takes effect at once.",
        "Above that amount we need a confirmation in the app.",
    ],
    agent: &["I have raised it until midnight, it falls back by itself."],
};

static REFUND: Words = Words {
    intent: "refund_status",
    bot_skill: 0.82,
    needs_agent: true,
    openers: &[
        "{shop} says they refunded {amount} but I see nothing.",
        "When do I get my money back from {shop}?",
        "I cancelled a booking on {day}, where is the refund?",
        "Only half of my refund arrived.",
        "How long can a shop take to pay me back?",
    ],
    follow_ups: &[
        "They gave me a reference, does that help you?",
        "It has been more than two weeks.",
        "Can you not just claim it back?",
    ],
    bot: &[
        "Refunds show up three to five days after the shop has sent them.",
        "I see no refund from this shop yet. Please ask them for the date.",
    ],
    agent: &[
        "It came in under another name. You will find it booked on {day}.",
        "If it is not there by next week, write to us and we claim it back.",
    ],
};

static STATEMENT: Words = Words {
    intent: "statement",
    bot_skill: 0.93,
    needs_agent: false,
    openers: &[
        "I need a statement of last year for my taxes.",
        "Where can I download my statements?",
        "Can you send me a confirmation that the account is mine?",
        "The PDF for last month is empty.",
    ],
    follow_ups: &[
        "Does it come with a stamp?",
        "I need it in another language as well.",
        "Is there one for the savings account too?",
    ],
    bot: &[
        "Statements are under Documents, one for each month.",
        "A confirmation of the account is made within a minute and lands in Documents.",
    ],
    agent: &["I have made the document again, please reload the page."],
};

static CHANGE_CONTACT: Words = Words {
    intent: "change_contact_details",
    bot_skill: 0.78,
    needs_agent: true,
    openers: &[
        "I want to change the e-mail address of my account.",
        "Please update my phone number, the old one is no longer mine.",
        "I have a new mobile number and need the codes sent there.",
        "How do I replace the e-mail you have for me? I cannot open the old mailbox.",
        "We moved to another part of {city}, please change my address and my phone.",
        "Can you switch my account to a different e-mail today?",
    ],
    follow_ups: &[
        "I cannot receive anything on the old number, so please skip that step.",
        "It has to be done today, I have payments waiting.",
        "I can tell you my date of birth, that should be enough.",
        "Will the codes go to the new number right away?",
        "Then please remove the old device as well.",
    ],
    bot: &[
        "You can change that under Profile. We send a code to the old number first.",
        "For a new e-mail please confirm the link we send to both addresses.",
    ],
    agent: &[
        "I have sent a link to the new address. Please confirm it within an hour.",
        "I have updated the number. It can take some minutes until codes arrive there.",
    ],
};

static LOST_CARD: Words = Words {
    intent: "lost_card",
    bot_skill: 0.9,
    needs_agent: true,
    openers: &[
        "I lost my card in {city}, please block it.",
        "My wallet was stolen on {day}.",
        "I cannot find my card since {day}.",
        "Someone took my bag with both cards in it.",
    ],
    follow_ups: &[
        "Has anybody used it since?",
        "Please send a new one to my address.",
        "Can I unblock it if it turns up?",
    ],
    bot: &[
        "I have blocked the card. A new one is on its way.",
        "You can freeze and unfreeze the card in the app at any time.",
    ],
    agent: &["Blocked. The last payment I see is from {day}, was that you?"],
};

static LOST_PHONE: Words = Words {
    intent: "lost_phone",
    bot_skill: 0.74,
    needs_agent: true,
    openers: &[
        "I lost my phone and need to log in from a new one.",
        "My phone broke, how do I set up the app on another device?",
        "My phone was stolen on {day}, please register this one instead.",
        "New phone here. The app wants a code that goes to the phone I no longer have.",
    ],
    follow_ups: &[
        "I do not have the old SIM either.",
        "Please just activate the new device, I am in a hurry.",
        "Could the code come by e-mail instead?",
        "Is it on now? I have to send money tonight.",
    ],
    bot: &[
        "Please install the app on the new device and follow the steps for a lost phone.",
        "To link a new device we ask for your card and a short video.",
    ],
    agent: &[
        "I have removed the old device. You can link the new one now.",
        "Thank you, your details match. The new device is active.",
    ],
};

static SUBSCRIPTION: Words = Words {
    intent: "subscription",
    bot_skill: 0.8,
    needs_agent: false,
    openers: &[
        "{shop} takes {amount} every month, how do I stop that?",
        "I cancelled with {shop} and they still charge me.",
        "Can I block a single shop?",
        "What is the {amount} that goes out every month?",
    ],
    follow_ups: &[
        "I cancelled in writing, I can show you the mail.",
        "Will it also stop the next one?",
        "And what about the payments of the past months?",
    ],
    bot: &[
        "Under Cards, then Subscriptions you can block future charges of a shop.",
        "Please cancel with the shop first. Charges after that can be claimed back.",
    ],
    agent: &["I have blocked this shop for you. Send us the cancellation and we look at the rest."],
};

static HARDSHIP: Words = Words {
    intent: "hardship",
    bot_skill: 0.6,
    needs_agent: true,
    openers: &[
        "I lost my job and cannot pay the loan this month.",
        "My husband died on {day} and I do not know how to handle his account.",
        "I am in hospital and cannot take care of my bills.",
        "I have nothing left for food after your fee.",
        "The gambling got out of hand, can you stop me from paying there?",
    ],
    follow_ups: &[
        "I do not know who else to ask.",
        "Can the instalment wait until I work again?",
        "Please do not send letters, it only makes it worse.",
    ],
    bot: &["I am sorry to hear that. A colleague will be with you soon."],
    agent: &[
        "I am sorry. We can pause the payments for two months, shall I set that up?",
        "Thank you for telling us. I have waived the fee and noted how to reach you.",
    ],
};

static COMPLAINT: Words = Words {
    intent: "complaint",
    bot_skill: 0.55,
    needs_agent: true,
    openers: &[
        "This is the third time I write about the same thing.",
        "Your app has been down all of {day}. Unacceptable.",
        "You charged me a fee of {amount} that nobody told me about.",
        "I was on hold for an hour and then cut off.",
        "I want to file a complaint.",
    ],
    follow_ups: &[
        "I will take my money elsewhere if this goes on.",
        "That does not solve anything.",
        "Who is responsible for this?",
        "I expect an answer in writing.",
    ],
    bot: &[
        "I am sorry that you are not happy with us. What happened?",
        "You can file a complaint under Help, then Feedback.",
    ],
    agent: &[
        "I understand that you are angry. I have returned the fee.",
        "I have opened a complaint and you get an answer within five days.",
    ],
};

static UNRECOGNISED: Words = Words {
    intent: "unrecognised_payment",
    bot_skill: 0.75,
    needs_agent: true,
    openers: &[
        "I did not make this payment of {amount} to {shop}.",
        "There is {amount} on my statement that was not me.",
        "What is {shop}? I never bought anything there.",
        "Somebody took {amount} from my account!",
        "I see a payment from {day} that I do not recognise.",
        "Money is missing. I did not authorise {amount}.",
    ],
    follow_ups: &[
        "I still have my card, nobody else can have used it.",
        "I want my money back.",
        "How could this get through?",
        "Please block everything before more is gone.",
        "No, I have never heard of them.",
    ],
    bot: &[
        "If you do not recognise a payment, freeze the card and tap Report.",
        "Shops sometimes book under another name. Please check the details first.",
    ],
    agent: &[
        "I have blocked the card and opened a dispute for you.",
        "We are looking into it. You should hear from us within two days.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    const TOPICS: [Topic; 14] = [
        Topic::Balance,
        Topic::CardDelivery,
        Topic::Declined,
        Topic::ExchangeRate,
        Topic::RaiseLimit,
        Topic::Refund,
        Topic::Statement,
        Topic::ChangeContact,
        Topic::LostCard,
        Topic::LostPhone,
        Topic::Subscription,
        Topic::Hardship,
        Topic::Complaint,
        Topic::Unrecognised,
    ];

    #[test]
    fn every_blank_of_every_template_is_one_that_gets_filled() {
        let mut templates: Vec<&str> = Vec::new();
        for words in TOPICS.map(topic) {
            for pool in [words.openers, words.follow_ups, words.agent] {
                assert!(!pool.is_empty(), "{}", words.intent);
                templates.extend(pool);
            }
            // the bot's sentences are taken as they are
            assert!(words.bot.iter().all(|sentence| !sentence.contains('{')));
        }
        for ground in [
            Ground::Fraud,
            Ground::NotReceived,
            Ground::NotAsDescribed,
            Ground::NoCredit,
            Ground::Twice,
            Ground::Cancelled,
        ] {
            templates.extend(complaints(ground));
        }
        let mut blanks = 0;
        for template in templates {
            for part in template.split('{').skip(1) {
                let blank = part.split('}').next();
                assert!(matches!(blank, Some("amount" | "shop" | "city" | "day")), "{template}");
                blanks += 1;
            }
        }
        assert!(blanks > 40, "{blanks}");
    }
}

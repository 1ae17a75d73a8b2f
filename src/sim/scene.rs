//! What everyone who makes events works with: the world, chance, the schedule, and the numbers
//! given out so far.

use std::collections::BTreeMap;

use super::draw::Draw;
use super::episodes::OpenTerminal;
use super::payments::Standing;
use super::places::HOURS;
use super::schedule::{Planned, Schedule, Step};
use super::settings::{Settings, SettingsError};
use super::world::{World, hosted_ip, shared_ip};
use super::{Truth, chats};
use crate::event::{Event, Text};

pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Numbers given out so far, each its own count.
#[derive(Default)]
struct Serials {
    event: u64,
    transaction: u64,
    dispute: u64,
    conversation: u64,
    invoice: u64,
    stranger: u32,
}

/// See the module.
pub(super) struct Scene {
    pub settings: Settings,
    pub world: World,
    pub draw: Draw,
    pub schedule: Schedule,
    /// terminals that fraudsters read cards at, now; ordered, as chance must not depend on hashes
    pub open_terminals: BTreeMap<u32, OpenTerminal>,
    /// standing orders and subscriptions that fall due today
    pub standing: Standing,
    serials: Serials,
}

impl Scene {
    pub(super) fn new(settings: Settings) -> Result<Scene, SettingsError> {
        settings.validate()?;
        let mut draw = Draw::seeded(settings.seed);
        Ok(Scene {
            world: World::new(&settings, &mut draw),
            draw,
            schedule: Schedule::new(settings.pending_max),
            open_terminals: BTreeMap::new(),
            standing: Standing::default(),
            serials: Serials::default(),
            settings,
        })
    }

    pub(super) fn next_transaction(&mut self) -> u64 {
        self.serials.transaction += 1;
        self.serials.transaction
    }

    pub(super) fn next_dispute(&mut self) -> u64 {
        self.serials.dispute += 1;
        self.serials.dispute
    }

    pub(super) fn next_conversation(&mut self) -> u64 {
        self.serials.conversation += 1;
        self.serials.conversation
    }

    pub(super) fn next_invoice(&mut self) -> u64 {
        self.serials.invoice += 1;
        self.serials.invoice
    }

    /// A device nobody has used before.
    pub(super) fn new_device(&mut self) -> u32 {
        self.serials.stranger = self.serials.stranger.wrapping_add(1);
        self.world.devices.wrapping_add(self.serials.stranger)
    }

    /// A beneficiary nobody has paid before.
    pub(super) fn new_beneficiary(&mut self) -> u32 {
        self.serials.stranger = self.serials.stranger.wrapping_add(1);
        (self.world.accounts.len() as u32).wrapping_add(self.serials.stranger)
    }

    /// Where a fraudster connects from: like anyone else, or from a data centre.
    pub(super) fn fraud_ip(&mut self) -> u32 {
        let bits = self.draw.below(u32::MAX);
        if self.draw.chance(0.4) { hosted_ip(bits) } else { shared_ip(bits) }
    }

    /// Someone who is likely to be up and about at that time.
    pub(super) fn awake_account(&mut self, at: i64) -> u32 {
        let mut index = 0;
        for _ in 0..12 {
            index = self.world.any_account(&mut self.draw);
            let account = self.world.account(index);
            let hour = at.div_euclid(HOUR) + account.country().utc_offset - account.lateness;
            let awake = HOURS[hour.rem_euclid(24) as usize] * account.activity;
            if self.draw.chance(awake) {
                break;
            }
        }
        index
    }

    /// Turns a step into its event, and plans the next message if it was one.
    pub(super) fn play(&mut self, planned: &Planned) -> (Event<'static>, Truth) {
        self.serials.event += 1;
        let id: Text<'static> = super::ids::numbered("evt-", self.serials.event, 9);
        let (at, absent) = (planned.at, self.settings.absent_share);
        let mut truth = planned.truth;
        let event = match &planned.step {
            Step::Payment(payment) => {
                Event::Transaction(payment.event(id, at, &self.world, absent, &mut self.draw))
            }
            Step::Dispute(contest) => {
                Event::Dispute(contest.event(id, at, &self.world, absent, &mut self.draw))
            }
            Step::Label(ruling) => Event::Label(ruling.event(id, at)),
            Step::Message(conversation) => {
                let (chat, fraud) = chats::play(self, conversation, planned, id);
                truth.fraud = fraud;
                Event::Chat(chat)
            }
            Step::Invoice(bill) => {
                Event::Invoice(bill.event(id, at, &self.world, absent, &mut self.draw))
            }
        };
        debug_assert!(truth.scenario.is_some() || !truth.fraud, "{truth:?} has no scenario");
        (event, truth)
    }
}

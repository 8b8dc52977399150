//! What was kept of a booking: created_by, booking_source, booked_by_user_id and the call.
use serde_json::json;

use super::super::calls::{self, Fate};
use super::super::copy::instant;
use super::super::damage::Damage;
use super::super::life::{self, Channel};
use super::super::plan::Of;
use super::super::truth::FILLED;
use super::{Remains, damage_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Filled,
    Source,
    Metadata,
    PlanWords,
    SuiteWords,
    NoMeaning,
    Notes,
    CallOnly,
    EventOnly,
    AuditLog,
    Backfilled,
    Nothing,
    Contradiction,
    TwiceEncoded,
}

/// Which forms a channel's bookings have, by weight.
const fn forms(channel: Channel) -> (&'static str, &'static [(Form, u64)]) {
    use Form::{
        AuditLog, Backfilled, CallOnly, Contradiction, EventOnly, Filled, Metadata, NoMeaning, Notes, Nothing, PlanWords, Source, SuiteWords, TwiceEncoded,
    };
    match channel {
        Channel::RetellPhone => (
            "booked by phone",
            &[
                (Filled, 10),
                (Source, 28),
                (Metadata, 18),
                (PlanWords, 10),
                (SuiteWords, 6),
                (CallOnly, 12),
                (Contradiction, 5),
                (Nothing, 5),
                (TwiceEncoded, 4),
                (NoMeaning, 2),
            ],
        ),
        Channel::RetellWebhook => {
            ("booked by analysis", &[(Filled, 10), (Source, 38), (Metadata, 20), (Notes, 15), (PlanWords, 9), (Nothing, 4), (TwiceEncoded, 4)])
        }
        Channel::RetellApi => ("booked by api", &[(Filled, 10), (Source, 60), (Metadata, 30)]),
        Channel::Calcom => ("booked in Cal.com", &[(Filled, 10), (Source, 42), (PlanWords, 12), (EventOnly, 12), (Metadata, 15), (Nothing, 6), (NoMeaning, 3)]),
        Channel::Portal => ("booked in the portal", &[(Filled, 15), (Metadata, 80), (Nothing, 5)]),
        Channel::Admin => ("booked by hand", &[(Filled, 10), (Source, 30), (PlanWords, 20), (AuditLog, 32), (Nothing, 8)]),
        Channel::Backfill => ("booked by backfill", &[(Backfilled, 1)]),
    }
}

impl Remains<'_> {
    pub(super) fn booking(&mut self) {
        let booked = &self.life.booked;
        let (row, forms) = forms(booked.channel);
        let mut form = self.turns.next(row, forms);
        let fate = booked.call.map(|call| Fate::of(self.plan, self.life.company, call));
        // a booking that was filled named its call, which must be there
        if form == Form::Filled && fate.is_some_and(|fate| !fate.at_home()) {
            form = Form::Source;
        }
        let call_damage = fate.and_then(damage_of);
        self.leave(form);
        let by = match form {
            Form::Filled => Some(FILLED),
            Form::Source | Form::TwiceEncoded => Some("source"),
            Form::Metadata => Some("metadata"),
            Form::PlanWords | Form::SuiteWords => Some("words"),
            Form::Notes => Some("notes"),
            Form::CallOnly => Some("call"),
            Form::EventOnly => Some("event"),
            Form::AuditLog => Some("audit_log"),
            Form::Backfilled => Some("backfilled"),
            Form::NoMeaning | Form::Nothing | Form::Contradiction => None,
        };
        self.truth.tell("created_by", booked.actor, by);
        self.truth.tell("booking_source", booked.channel.word(), if form == Form::AuditLog { Some("source") } else { by });
        if let Some(user) = self.user(booked.user) {
            let by = match form {
                Form::Nothing => None,
                Form::AuditLog => Some("audit_log"),
                _ => Some(FILLED),
            };
            self.audit.booked_by_user = (by == Some(FILLED)).then_some(user);
            self.truth.tell("booked_by_user_id", user.to_string(), by);
        }
        if booked.call.is_some() && !matches!(form, Form::Nothing) {
            self.truth.damage.extend(call_damage);
            self.booking_call(form);
        } else if let Some(call) = booked.call {
            // nothing is nothing: not even the call's id
            self.truth.tell("call_id", self.plan.key(Of::Call, self.life.company, call).to_string(), None);
        }
        if matches!(form, Form::Source | Form::Metadata) && booked.channel != Channel::Admin {
            self.put("original_start_time", instant(booked.to));
            self.put("start_time_utc", instant(booked.to));
        }
    }

    fn leave(&mut self, form: Form) {
        let booked = &self.life.booked;
        let channel = booked.channel;
        match form {
            Form::Filled => (self.audit.created_by, self.audit.booking_source) = (Some(booked.actor), Some(channel.word())),
            Form::Source => {
                self.damaged(Damage::SourceLeft);
                let words = source_words(channel);
                let word = self.chance.pick(words);
                self.put("source", word);
            }
            Form::Metadata => {
                self.damaged(Damage::MetadataLeft);
                let key = self.chance.pick(&["created_via", "booked_via"]);
                self.put(key, channel.word());
            }
            Form::PlanWords => {
                self.damaged(Damage::PlanWords);
                let (by, source) = plan_words(channel);
                self.put("created_by", by);
                self.put("booking_source", source);
            }
            Form::SuiteWords => {
                self.damaged(Damage::SuiteWords);
                self.put("created_by", "retell_agent");
                self.put("booking_source", "phone_call");
            }
            Form::NoMeaning => {
                self.damaged(Damage::WordWithoutMeaning);
                let word = self.chance.pick(&["widget_embed", "api_external"]);
                self.put("booking_source", word);
            }
            Form::Notes => {
                self.damaged(Damage::BookedInNotes);
                self.notes.push("Created via Retell webhook".into());
            }
            Form::CallOnly => self.damaged(Damage::BookedByCallOnly),
            Form::EventOnly => {
                self.damaged(Damage::BookedByEventOnly);
                let first = self.plan.uid(self.life.company, self.life.place, 0);
                self.put("calcom_booking_uid", first.clone());
                self.event = Some(self.in_calcom(&first, |calcom| calcom.created(booked)));
            }
            Form::AuditLog => {
                self.damaged(Damage::BookedByAuditLog);
                self.put("source", "admin");
                self.logged_user = self.user(booked.user);
            }
            Form::Backfilled => {
                self.damaged(Damage::BackfilledFromCalcom);
                self.put("backfilled", true);
                self.put("backfilled_at", instant(booked.at));
                self.put("created_via", channel.word());
            }
            Form::Nothing => self.damaged(Damage::NothingLeft),
            Form::Contradiction => {
                self.damaged(Damage::SourcesContradict);
                self.put("created_via", channel.word());
                self.put("source", "cal.com");
            }
            Form::TwiceEncoded => self.damaged(Damage::MetadataTwiceEncoded),
        }
    }

    /// Where the call of the booking was kept.
    fn booking_call(&mut self, form: Form) {
        let (plan, life) = (self.plan, self.life);
        let Some(call) = life.booked.call else { return };
        let fate = Fate::of(plan, life.company, call);
        let id = plan.key(Of::Call, life.company, call);
        // a row that was filled at the time is not the one that lost its uid
        let twice = form != Form::Filled && self.uid_twice();
        // the second of a call cannot be the one that the call names, and a call that is not there names nothing
        let named_by_call = fate.at_home() && !life.second_of_call && !twice && form != Form::CallOnly;
        let by = match (form, named_by_call) {
            (Form::Filled, _) if fate.at_home() => FILLED,
            (Form::TwiceEncoded, true) => "converted_appointment",
            // metadata is text then: nothing leads to the call
            (Form::TwiceEncoded, false) => "",
            (_, true) if fate == Fate::Placeholder => "converted_appointment",
            (_, true) => self.turns.next("call by", &[("retell_call_id", 60), ("converted_appointment", 20), ("calcom_metadata", 10), ("booking_details", 10)]),
            (_, false) => "retell_call_id",
        };
        let by =
            if by == "booking_details" && (!life.moves.is_empty() || self.uid != Some(plan.uid(life.company, life.place, 0))) { "retell_call_id" } else { by };
        match by {
            FILLED => self.call = Some(id),
            "converted_appointment" => self.call_metadata = json!({ "converted_appointment_id": plan.legacy_id(life.company, life.place) }),
            "calcom_metadata" => {
                let (uid, kept) = (self.uid.clone().unwrap_or_default(), calls::kept_id(plan, life.company, call));
                let answer = self.in_calcom(&uid, |calcom| calcom.answer(life.booked.to, life.booked.at, Some(&kept)));
                self.put("cal_com_data", answer);
            }
            "booking_details" => {
                self.call_metadata = json!({ "booking_confirmed": true, "booking_details": { "calcom_booking": { "uid": self.uid } } });
            }
            _ => {}
        }
        if by == "retell_call_id" || (fate == Fate::Placeholder && by != FILLED) {
            let key = self.chance.pick(&["retell_call_id", "call_id"]);
            self.put(key, calls::kept_id(plan, life.company, call));
        }
        let told = fate.at_home() && !(fate == Fate::Placeholder && by == "retell_call_id") && !by.is_empty();
        self.truth.tell("call_id", id.to_string(), told.then_some(by));
        // a phone's word without a call behind it: who says it is right, and who says unknown is, too
        if !told || twice {
            self.truth.forget("call_id");
            self.truth.forget("booking_source");
            if form == Form::CallOnly {
                self.truth.forget("created_by");
            }
        }
    }

    /// Two appointments with one uid (incident 7): this one has lost it, and carries the other's call in Cal.com's answer.
    fn uid_twice(&mut self) -> bool {
        let (plan, life) = (self.plan, self.life);
        if life.place == 0
            || life.second_of_call
            || self.truth.damage.contains(&Damage::UidInTwoCompanies)
            || self.truth.damage.contains(&Damage::MetadataTwiceEncoded)
        {
            return false;
        }
        let other = life::life(plan, life.company, life.place - 1);
        let Some(foreign) = other.booked.call.filter(|_| !other.second_of_call) else { return false };
        if !self.turns.percent("uid twice", 3) {
            return false;
        }
        self.damaged(Damage::UidTwice);
        self.uid = None;
        let uid = plan.uid(life.company, other.place, other.moves.len());
        let foreign = plan.retell_call_id(life.company, foreign);
        let answer = self.in_calcom(&uid, |calcom| calcom.answer(life.booked.to, other.booked.at, Some(&foreign)));
        self.put("calcom_booking_uid", uid);
        self.put("cal_com_data", answer);
        true
    }
}

/// What the old column `source` held for it.
const fn source_words(channel: Channel) -> &'static [&'static str] {
    match channel {
        Channel::RetellPhone => &["retell_phone", "phone"],
        Channel::RetellWebhook => &["retell_webhook"],
        Channel::RetellApi => &["api"],
        Channel::Calcom => &["cal.com", "calcom", "cal.com_direct"],
        Channel::Portal => &["customer_portal"],
        Channel::Admin => &["admin"],
        Channel::Backfill => &["backfill_from_calcom"],
    }
}

/// The plan's words for who and through what.
const fn plan_words(channel: Channel) -> (&'static str, &'static str) {
    match channel {
        Channel::RetellPhone => ("customer_phone", "retell_function_call"),
        Channel::RetellWebhook => ("retell_ai", "retell_webhook"),
        Channel::RetellApi => ("retell_ai", "retell_api"),
        Channel::Calcom => ("cal.com_webhook", "cal.com_webhook"),
        Channel::Portal => ("customer_web", "customer_portal"),
        Channel::Admin => ("staff_user", "manual_staff"),
        Channel::Backfill => ("system_migration", "backfill_from_calcom"),
    }
}

//! The faults that the providers themselves make: what the stand-ins are told for a while, and how often it happened. Called by `strike`.

use std::time::Duration;

use tokio::time::Instant;

use super::faults::{Calcom, Retell};
use super::plan::Strike;
use super::provocation::Provocation;
use crate::calcom_stand_in::{CalcomStandIn, Fate, FaultKind, FaultOp, FaultRule, ReplicaLag, WebhookFaultKind, WebhookFaultRule, WebhookFaults, Whose};
use crate::retell_stand_in::RetellStandIn;

/// A provider fails a good part of what it does while it fails at all.
const CHANCE: f64 = 0.5;
/// In a moment it would otherwise hit nobody.
const CHANCE_OF_A_MOMENT: f64 = 0.85;
const MOMENT: Duration = Duration::from_millis(1500);
/// How much longer a fault may go on until it hits anything: nobody may have asked meanwhile.
const UNTIL_FELT: Duration = Duration::from_millis(2500);
const POLL: Duration = Duration::from_millis(100);
/// From this draw on a 429 announces a long rest.
const LONG_THROTTLE_DRAW: u32 = 70;
/// Longer than our client waits.
const HANG_MS: u64 = 8_000;

/// A fault of Cal.com, for as long as the strike lasts; whether anybody felt it.
pub async fn calcom(calcom: &CalcomStandIn, fault: Calcom, strike: &Strike, provocation: &Provocation) -> bool {
    let before = calcom_times(calcom, fault);
    begin(calcom, fault, strike, provocation);
    tokio::time::sleep(strike.lasts).await;
    let felt = until(|| calcom_times(calcom, fault) > before).await;
    if fault == Calcom::ReplicaLag {
        calcom.set_replica_lag(provocation.replica_lag);
    } else if fault.is_about_webhooks() {
        calcom.set_webhook_faults(provocation.standing_webhooks());
    } else {
        calcom.clear_faults();
        calcom.add_faults(provocation.standing());
    }
    felt
}

fn begin(calcom: &CalcomStandIn, fault: Calcom, strike: &Strike, provocation: &Provocation) {
    let likely = chance_in(strike.lasts);
    let chance = |op: FaultOp, kind: FaultKind| calcom.add_faults(vec![FaultRule::by_chance(op, kind, likely)]);
    let by_chance = |kind: WebhookFaultKind| by_chance(kind, likely);
    let draw = u64::from(strike.draw);
    match fault {
        Calcom::DropAfterCommit => chance(FaultOp::Any, FaultKind::DropConnectionAfter),
        Calcom::ErrorAfterCommit => chance(FaultOp::Any, FaultKind::ErrorAfter { status: 500 }),
        Calcom::ErrorBefore => chance(FaultOp::Any, FaultKind::ErrorBefore { status: 503 }),
        Calcom::HangAfter => chance(FaultOp::Any, FaultKind::HangAfter { ms: HANG_MS }),
        Calcom::HangBefore => chance(FaultOp::Any, FaultKind::HangBefore { ms: HANG_MS }),
        Calcom::Throttle => {
            // mostly several companies for a moment, sometimes one for so long that whoever asks it again is caught
            let (usual, times) = if strike.draw < LONG_THROTTLE_DRAW { (2 + strike.draw % 5, 3) } else { (10 + strike.draw % 11, 1) };
            let reset_seconds = provocation.throttled_seconds.unwrap_or(i64::from(usual));
            let times = if provocation.throttled_seconds.is_some() { 1 } else { times };
            calcom.add_faults(vec![FaultRule { times: Some(times), ..FaultRule::once(FaultOp::Any, FaultKind::Throttle429 { reset_seconds }) }]);
        }
        Calcom::OldBookingAsAnswer => {
            let whose = [Whose::SameAttendee, Whose::SomebodyElse, Whose::SameSlot][strike.draw as usize % 3];
            chance(FaultOp::Create, FaultKind::ReplayOld { whose });
            chance(FaultOp::Reschedule, FaultKind::ReplayOld { whose });
        }
        Calcom::WrongSchema => chance(FaultOp::Any, FaultKind::WrongSchema),
        Calcom::SlowDrip => chance(FaultOp::Any, FaultKind::SlowDrip { ms: 500 + 20 * draw }),
        Calcom::ReplicaLag => calcom.set_replica_lag(Some(ReplicaLag { ms: 500 + 40 * draw, probability: Some(likely) })),
        Calcom::WebhooksLost => calcom.set_webhook_faults(by_chance(WebhookFaultKind::Lose)),
        Calcom::WebhooksDoubled => calcom.set_webhook_faults(by_chance(WebhookFaultKind::Double { after_ms: 20 * draw, rebuilt: strike.draw % 2 == 1 })),
        Calcom::WebhooksReordered => calcom.set_webhook_faults(by_chance(WebhookFaultKind::Shuffle { within_ms: 500 + 30 * draw })),
        Calcom::WebhooksLate => calcom.set_webhook_faults(by_chance(WebhookFaultKind::Late { ms: 500 + 80 * draw })),
    }
}

/// A fault of Retell's webhooks, for as long as the strike lasts; whether anybody felt it.
pub async fn retell(retell: &RetellStandIn, fault: Retell, strike: &Strike) -> bool {
    let before = retell_times(retell, fault);
    let draw = u64::from(strike.draw);
    let kind = match fault {
        Retell::Lost => WebhookFaultKind::Lose,
        Retell::Doubled => WebhookFaultKind::Double { after_ms: 20 * draw, rebuilt: false },
        Retell::Reordered => WebhookFaultKind::Shuffle { within_ms: 500 + 30 * draw },
        Retell::Late => WebhookFaultKind::Late { ms: 500 + 80 * draw },
    };
    retell.set_webhook_faults(by_chance(kind, chance_in(strike.lasts)));
    tokio::time::sleep(strike.lasts).await;
    let felt = until(|| retell_times(retell, fault) > before).await;
    retell.set_webhook_faults(WebhookFaults::default());
    felt
}

fn by_chance(kind: WebhookFaultKind, chance: f64) -> WebhookFaults {
    WebhookFaults { rules: vec![WebhookFaultRule::by_chance(kind, chance)], seed: None }
}

fn chance_in(lasts: Duration) -> f64 {
    if lasts < MOMENT { CHANCE_OF_A_MOMENT } else { CHANCE }
}

/// Whether it was felt, at last.
pub async fn until(felt: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + UNTIL_FELT;
    while !felt() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

/// What stays on from the start.
pub fn provoke(calcom: &CalcomStandIn, provocation: &Provocation) {
    calcom.add_faults(provocation.standing());
    calcom.set_webhook_faults(provocation.standing_webhooks());
    calcom.set_replica_lag(provocation.replica_lag);
}

/// Both do as they should again.
pub fn heal(calcom: &CalcomStandIn, retell: &RetellStandIn) {
    calcom.clear_faults();
    calcom.set_webhook_faults(WebhookFaults::default());
    calcom.set_replica_lag(None);
    retell.set_webhook_faults(WebhookFaults::default());
}

/// How often somebody felt it so far, by the stand-in's own count.
pub fn calcom_times(calcom: &CalcomStandIn, fault: Calcom) -> u64 {
    calcom.faults_felt().get(stand_ins_name(fault)).copied().unwrap_or(0)
}

/// The same of Retell.
pub fn retell_times(retell: &RetellStandIn, fault: Retell) -> u64 {
    let fate = match fault {
        Retell::Lost => Fate::Lost,
        Retell::Doubled => Fate::Doubled,
        Retell::Reordered => Fate::Shuffled,
        Retell::Late => Fate::Late,
    };
    retell.webhooks_felt().get(&fate).copied().unwrap_or(0)
}

const fn stand_ins_name(fault: Calcom) -> &'static str {
    match fault {
        Calcom::DropAfterCommit => "drop_connection_after",
        Calcom::ErrorAfterCommit => "error_after",
        Calcom::ErrorBefore => "error_before",
        Calcom::HangAfter => "hang_after",
        Calcom::HangBefore => "hang_before",
        Calcom::Throttle => "throttle_429",
        Calcom::OldBookingAsAnswer => "replay_old",
        Calcom::WrongSchema => "wrong_schema",
        Calcom::SlowDrip => "slow_drip",
        Calcom::ReplicaLag => "replica_lag",
        Calcom::WebhooksLost => "webhook_lost",
        Calcom::WebhooksDoubled => "webhook_doubled",
        Calcom::WebhooksReordered => "webhook_shuffled",
        Calcom::WebhooksLate => "webhook_late",
    }
}

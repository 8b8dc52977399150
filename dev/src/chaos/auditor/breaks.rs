//! Which invariant names which protection's absence (`--break`), and what a campaign must do beside setting the variable, so that the absence has a chance to show.

use shared::protection::Protection;

use super::Invariant;

/// The invariant that must be violated when this protection is off. Others may be as well: a lost message is a wish without an end, too.
#[must_use]
pub const fn expected(protection: Protection) -> Invariant {
    match protection {
        Protection::Confirm | Protection::Spool => Invariant::NoLoss,
        Protection::Inbox | Protection::Search => Invariant::NoDoubleEffect,
        Protection::Tag => Invariant::NoOrphan,
        Protection::Call => Invariant::AuditComplete,
        Protection::Rank => Invariant::Convergence,
        Protection::Overlap => Invariant::NoOverlap,
        Protection::Rls => Invariant::Tenancy,
        Protection::Attempts => Invariant::Bounded,
        Protection::Relay => Invariant::Liveness,
        Protection::Mask => Invariant::Privacy,
        Protection::Fairness => Invariant::Fairness,
    }
}

/// What the sentence must say that proves the absence of a protection, beside its invariant's id: a backlog on a busy machine violates I1, I5 or I9 as well, but says
/// other things.
#[must_use]
pub const fn signs(protection: Protection) -> &'static [&'static str] {
    match protection {
        Protection::Confirm | Protection::Spool => &["is lost: "],
        Protection::Inbox => &[" handled the "],
        // a double that the product ended itself was one all the same
        Protection::Search => &["live bookings in Cal.com", "was wished for", " had something booked "],
        Protection::Tag => &["does not carry its token"],
        Protection::Call => &["names no call"],
        Protection::Rank => &["although every webhook about it arrived"],
        Protection::Overlap => &["two promises overlap", "under way at once", "was promised to two callers"],
        Protection::Rls => &["not bound by row-level security"],
        Protection::Attempts => &["is at attempt"],
        Protection::Relay => &["messages in the outbox"],
        Protection::Mask => &["holds a canary", "holds a booking's uid"],
        Protection::Fairness => &["callers of the others waited and nothing was sent"],
    }
}

/// Whether a campaign without it may rightly end with messages in queues: they are the finding then.
#[must_use]
pub const fn leaves_messages(protection: Protection) -> bool {
    matches!(protection, Protection::Relay | Protection::Attempts)
}

/// What a break run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// For the plan: which faults and wishes must be frequent.
    pub provoke: &'static str,
    /// To be carried out in the campaign's own database after `migrate`; empty = nothing.
    pub sql: &'static str,
}

/// See [`Needs`].
#[must_use]
pub const fn needs(protection: Protection) -> Needs {
    let (provoke, sql) = match protection {
        Protection::Confirm => ("kills and pauses of the broker while events come in", ""),
        Protection::Spool => ("the broker away while events come in, and kills of ingress", ""),
        Protection::Inbox => ("doubled webhooks with the same bytes, Retell's repeats, kills between commit and ack", ""),
        Protection::Search => ("creates of a round robin that are dropped or answered 500 after commit, with replica lag: a second host is booked then", ""),
        Protection::Tag => ("creates that are answered with an old booking (replay_old, all three kinds)", ""),
        Protection::Call => ("calls that book, move, cancel", "ALTER TABLE appointment_modifications DROP CONSTRAINT appointment_modifications_call"),
        Protection::Rank => ("cancellations that overtake, shuffled and late webhooks of moved and cancelled bookings", ""),
        Protection::Overlap => (
            "pairs of callers who want one fixed host's slot at the same moment, with creates that are slow",
            "ALTER TABLE slot_claims DROP CONSTRAINT slot_claims_no_overlap",
        ),
        Protection::Rls => ("nothing: the sessions say it", ""),
        Protection::Attempts => ("an event that fails again and again: an attendance of a booking that Cal.com never had", ""),
        Protection::Relay => ("kills of workers between commit and publish", ""),
        Protection::Mask => ("calls and bookings with the log level debug", ""),
        Protection::Fairness => ("one company throttled for ten seconds and more, again and again, while callers ring all of them", FIRST_COME_FIRST_SERVED),
    };
    Needs { provoke, sql }
}

/// The dispatch that the architecture refuses (section 13): a plain queue. Whose turn it is decides age alone, and whoever may not go holds up all behind.
const FIRST_COME_FIRST_SERVED: &str = "
CREATE OR REPLACE FUNCTION lease_due_intents(holder uuid, at_most integer, at_most_bulk integer, lease_seconds integer, after_credential uuid)
    RETURNS TABLE (intent_id uuid, company_id uuid, credential_id uuid, live boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    at_now timestamptz := frontdesk_now();
    i intents;
    k credentials;
    taken integer := 0;
BEGIN
    WHILE taken < at_most LOOP
        SELECT o.* INTO i FROM intents o WHERE o.state IN ('recorded', 'sent', 'unknown') AND o.due_at <= at_now AND (o.lease_until IS NULL OR o.lease_until <= at_now)
            ORDER BY o.created_at LIMIT 1 FOR UPDATE;
        EXIT WHEN NOT FOUND;
        SELECT c.* INTO k FROM credentials c WHERE c.id = i.credential_id FOR NO KEY UPDATE;
        EXIT WHEN k.blocked_until > at_now OR k.probe_at > at_now OR budget_tokens(k, at_now, 0) < 1;
        UPDATE intents u SET lease_holder = holder, lease_until = at_now + make_interval(secs => lease_seconds) WHERE u.id = i.id;
        UPDATE credentials c SET tokens = budget_tokens(k, at_now, 0) - 1, refilled_at = at_now, tokens_taken = c.tokens_taken + 1 WHERE c.id = k.id;
        taken := taken + 1;
        intent_id := i.id;
        company_id := i.company_id;
        credential_id := i.credential_id;
        live := i.lane = 'live';
        RETURN NEXT;
    END LOOP;
END
$$";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_invariant_can_be_violated_by_taking_one_protection_away() {
        let named: BTreeSet<_> = Protection::ALL.into_iter().map(expected).collect();
        assert_eq!(named, Invariant::ALL.into_iter().collect());
    }

    #[test]
    fn what_the_database_guards_is_taken_out_of_the_database() {
        for protection in Protection::ALL {
            assert!(signs(protection).iter().all(|sign| sign.len() > 8));
            assert!(!needs(protection).provoke.is_empty());
            assert!(!protection.is_in_database() || !needs(protection).sql.is_empty(), "{protection}");
        }
    }
}

//! One test per check: in a company in order one row is broken, as only an import or a hand in psql could, and this check names it. Where the same damage is seen from
//! another side, that is demanded, too: nothing else is named.

use super::ground::{Ground, found};

/// Breaks, and demands: the checks that name something, with the row that each names first.
async fn named(damage: &str, expected: &[(&str, &str)]) {
    let ground = Ground::in_order().await;
    assert_eq!(found(&ground.examine().await), [], "in order before");
    ground.damage(damage).await;
    let found = found(&ground.examine().await);
    let told: Vec<_> = found.iter().map(|(check, _, first)| (*check, first[0].as_str())).collect();
    let is_row_id = |label: &str| label.len() == 36;
    assert_eq!(told.len(), expected.len(), "{found:?}");
    for ((check, label), (expected_check, expected_label)) in told.iter().zip(expected) {
        assert_eq!(check, expected_check, "{found:?}");
        assert!(label == expected_label || (*expected_label == "an id" && is_row_id(label)), "{found:?}");
    }
    ground.close().await;
}

macro_rules! broken {
    ($($fact:ident: [$($check:literal => $label:literal),+] $damage:literal;)+) => {
        $(#[tokio::test]
        async fn $fact() {
            named($damage, &[$(($check, $label)),+]).await;
        })+

        /// A check without such a test would not be known to find anything.
        #[test]
        fn every_check_has_its_broken_row() {
            let tested: std::collections::BTreeSet<&str> = [$($($check),+),+].into();
            let all: std::collections::BTreeSet<&str> = shared::store::consistency::all().map(|check| check.name).collect();
            assert_eq!(tested, all);
        }
    };
}

broken! {
    q1_a_creator_that_is_missing: ["created_by_missing" => "#5"] "UPDATE appointments SET created_by = NULL WHERE number = 5";
    q2_a_source_that_is_missing: ["booking_source_missing" => "#5"] "UPDATE appointments SET booking_source = NULL WHERE number = 5";
    q3_a_move_whose_audit_is_not_complete: ["reschedule_audit_incomplete" => "#9"] "UPDATE appointments SET rescheduled_by = NULL WHERE number = 9";
    q3_a_move_that_is_only_counted: ["reschedule_audit_incomplete" => "#5"] "UPDATE appointments SET rescheduled_count = 1 WHERE number = 5";
    q4_a_cancellation_without_a_reason: ["cancellation_audit_incomplete" => "#9"] "UPDATE appointments SET cancellation_reason = NULL WHERE number = 9";
    q5_a_name_that_nobody_explained: ["appointment_name_unexplained" => "#7"] "UPDATE appointments SET name_agreement = NULL WHERE number = 7";
    q6_a_call_of_another_customer: ["call_customer_differs" => "#1"]
        "UPDATE calls SET customer_id = '00000000-0000-0000-0000-0000000000c2' WHERE number = 1";
    q7_a_name_in_a_call_that_nobody_explained: ["call_name_unexplained" => "call #2"] "UPDATE calls SET name_agreement = NULL WHERE number = 2";
    q8_an_appointment_without_customer: ["appointment_without_customer" => "#2"] "UPDATE appointments SET customer_id = gen_random_uuid() WHERE number = 2";
    q9_a_call_that_is_not_there: ["appointment_call_missing" => "#1"] "UPDATE appointments SET call_id = gen_random_uuid() WHERE number = 1";
    q10_history_of_no_appointment: ["modification_without_appointment" => "an id"] "DELETE FROM appointments WHERE number = 5";
    q11_a_timeline_with_a_gap: ["timeline_broken" => "#2"]
        "UPDATE appointment_modifications m SET previous_starts_at = m.previous_starts_at + interval '1 hour' FROM appointments a WHERE a.id = m.appointment_id AND a.number = 2 AND m.kind = 'rescheduled'";
    q11_a_cancellation_of_another_time: ["timeline_broken" => "#3"]
        "UPDATE appointment_modifications m SET previous_starts_at = m.previous_starts_at + interval '1 hour' FROM appointments a WHERE a.id = m.appointment_id AND a.number = 3 AND m.kind = 'cancelled'";
    q12_a_start_that_no_change_made: ["last_move_differs" => "#2"]
        "UPDATE appointments SET starts_at = starts_at + interval '1 hour', ends_at = ends_at + interval '1 hour' WHERE number = 2";
    q13_a_move_that_history_does_not_know: ["move_without_modification" => "#8"]
        "DELETE FROM appointment_modifications m USING appointments a WHERE a.id = m.appointment_id AND a.number = 8";
    q14_a_cancellation_that_history_does_not_know: ["cancellation_without_modification" => "#3"]
        "DELETE FROM appointment_modifications m USING appointments a WHERE a.id = m.appointment_id AND a.number = 3 AND m.kind = 'cancelled'";
    q15_a_move_in_history_without_its_times: ["modification_incomplete" => "an id"]
        "UPDATE appointment_modifications m SET new_starts_at = NULL, import_run_id = '00000000-0000-0000-0000-0000000000f1' FROM appointments a
         WHERE a.id = m.appointment_id AND a.number = 8";
    q15_a_change_by_phone_without_call: ["modification_without_call" => "an id"]
        "UPDATE appointment_modifications m SET call_id = NULL, import_run_id = '00000000-0000-0000-0000-0000000000f1' FROM appointments a
         WHERE a.id = m.appointment_id AND a.number = 3 AND m.kind = 'cancelled'";
    q15_history_that_names_a_strangers_customer: ["modification_reference_missing" => "an id"]
        "UPDATE appointment_modifications m SET customer_id = gen_random_uuid() FROM appointments a WHERE a.id = m.appointment_id AND a.number = 5";
    columns_of_a_cancellation_that_did_not_happen: ["cancellation_audit_unfounded" => "#5"] "UPDATE appointments SET cancelled_at = now() WHERE number = 5";
    a_person_named_for_a_customers_booking: ["user_and_source_differ" => "#5"]
        "UPDATE appointments SET booked_by_user_id = '00000000-0000-0000-0000-0000000000a1' WHERE number = 5";
    a_word_of_another_vocabulary: ["vocabulary_foreign" => "#5", "constraint_missing" => "appointments_created_by"]
        "ALTER TABLE appointments DROP CONSTRAINT appointments_created_by; UPDATE appointments SET created_by = 'retell_agent' WHERE number = 5";
    a_booking_by_phone_without_call: ["phone_booking_without_call" => "#1"] "UPDATE appointments SET call_id = NULL WHERE number = 1";
    a_booking_without_its_uid: ["held_without_uid" => "#5"] "UPDATE appointments SET status = 'booked', calcom_uid = NULL WHERE number = 5";
    two_appointments_that_are_one_booking: ["uid_twice" => "#1", "uid_unchained" => "#5", "constraint_missing" => "appointments_calcom_uid"]
        "DROP INDEX appointments_calcom_uid; UPDATE appointments SET calcom_uid = 'u1' WHERE number = 5";
    a_call_without_customer_whose_appointment_has_one: ["call_without_customer" => "#6"] "UPDATE calls SET customer_id = NULL WHERE number = 2";
    a_branch_that_is_not_there: ["appointment_reference_missing" => "#2"] "UPDATE appointments SET branch_id = gen_random_uuid() WHERE number = 2";
    a_call_at_a_branch_that_is_not_there: ["call_reference_missing" => "call #2"] "UPDATE calls SET branch_id = gen_random_uuid() WHERE number = 2";
    a_call_that_never_ended: ["call_without_end" => "call #2"] "UPDATE calls SET status = 'ongoing', started_at = now() - interval '2 days' WHERE number = 2";
    a_uid_that_was_never_seen: ["uid_unchained" => "#5"] "DELETE FROM calcom_bookings WHERE uid = 'u5'";
    a_time_that_nothing_claims: ["held_without_claim" => "#1"]
        "DELETE FROM slot_claims c USING appointments a WHERE a.id = c.appointment_id AND a.number = 1";
    a_move_of_history_that_the_row_does_not_know: ["move_unstamped" => "#9"]
        "UPDATE appointments SET rescheduled_at = NULL, rescheduled_by = NULL, reschedule_source = NULL, previous_starts_at = NULL, rescheduled_count = 0 WHERE number = 9";
    a_booking_that_history_does_not_know: ["booking_without_modification" => "#5"]
        "DELETE FROM appointment_modifications m USING appointments a WHERE a.id = m.appointment_id AND a.number = 5";
    a_constraint_that_is_gone: ["constraint_missing" => "appointments_company_id_call_id_fkey"]
        "ALTER TABLE appointments DROP CONSTRAINT appointments_company_id_call_id_fkey";
    a_constraint_that_is_not_validated: ["constraint_missing" => "appointments_held_has_uid"]
        "UPDATE pg_constraint SET convalidated = false WHERE conname = 'appointments_held_has_uid'";
    a_foreign_key_whose_trigger_is_off: ["constraint_missing" => "appointment_modifications_company_id_call_id_fkey"]
        "ALTER TABLE appointment_modifications DISABLE TRIGGER ALL";
    a_column_that_may_be_empty_again: ["constraint_missing" => "appointment_modifications.actor"]
        "ALTER TABLE appointment_modifications ALTER COLUMN actor DROP NOT NULL";
}

/// Incident 44: rows of two tenants were mixed. What is another company's is not there.
#[tokio::test]
async fn a_customer_of_another_company_is_none() {
    let ground = Ground::in_order().await;
    let neighbour = ground.neighbour().await;
    let stranger =
        "INSERT INTO customers (id, company_id, name, phone) VALUES ('00000000-0000-0000-0000-0000000000c9', '{neighbour}', 'Jürgen Groß', '+4915112345678');
                    UPDATE appointments SET customer_id = '00000000-0000-0000-0000-0000000000c9' WHERE number = 2";
    ground.damage(&stranger.replace("{neighbour}", &neighbour.to_string())).await;
    assert_eq!(found(&ground.examine().await), [("appointment_without_customer", 1, vec!["#2".to_owned()])]);
    let theirs = ground.examine_as("frontdesk_operator", neighbour, 5).await;
    assert_eq!(found(&theirs), [], "and the neighbour is told nothing");
    ground.close().await;
}

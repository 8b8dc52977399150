//! The three scores, against a company whose rows are counted by hand.

use shared::domain::consistency::Score;

use super::ground::{Ground, found};

fn scores(report: &shared::store::consistency::Report) -> [Score; 3] {
    report.scores.map(|score| score.expect("counted in time"))
}

#[tokio::test]
async fn a_company_in_order_scores_full_over_all_its_cells_rows_and_changes() {
    let ground = Ground::in_order().await;
    let report = ground.examine().await;
    assert_eq!(found(&report), []);
    // 9 appointments; 4 were moved, 1 of them by a person; 3 were cancelled, 1 of them by a person; 1 was booked by one
    let cells = 9 + 9 + 1 + 4 * 4 + 1 + 3 * 4 + 1;
    // 9 appointments, 14 rows of history, 2 calls; of the nine 1 is a wish, and the booking of 1 was never heard
    assert_eq!(scores(&report), [Score::new(cells, cells), Score::new(25, 25), Score::new(7 + 4 + 3, 14)]);
    let unknown: Vec<_> = report.columns.iter().filter(|filled| filled.unknown > 0).map(|filled| (filled.column.name, filled.unknown)).collect();
    let expected = [("created_by", 1), ("booking_source", 1), ("rescheduled_by", 2), ("reschedule_source", 1), ("cancelled_by", 1), ("cancellation_source", 1)];
    assert_eq!(unknown, expected, "unknown fills a cell and is counted beside it");
    ground.close().await;
}

#[tokio::test]
async fn the_population_counts_cells_of_columns_that_apply_and_no_others() {
    let ground = Ground::in_order().await;
    ground.damage("UPDATE appointments SET created_by = NULL, cancelled_by = NULL, cancellation_reason = NULL, rescheduled_at = NULL WHERE number = 9").await;
    let report = ground.examine().await;
    let lacking: Vec<_> = report.columns.iter().filter(|filled| !filled.cells.is_full()).map(|filled| (filled.column.name, filled.cells)).collect();
    assert_eq!(
        lacking,
        [("created_by", Score::new(8, 9)), ("rescheduled_at", Score::new(3, 4)), ("cancelled_by", Score::new(2, 3)), ("cancellation_reason", Score::new(2, 3))]
    );
    assert_eq!(scores(&report)[0], Score::new(49 - 4, 49));
    ground.close().await;
}

/// A legacy row whose move is known by its history alone: its four cells are applicable, and empty.
#[tokio::test]
async fn a_move_that_only_history_knows_makes_its_cells_applicable() {
    let ground = Ground::in_order().await;
    ground
        .damage("UPDATE appointments SET rescheduled_at = NULL, rescheduled_by = NULL, reschedule_source = NULL, previous_starts_at = NULL, rescheduled_count = 0 WHERE number = 9")
        .await;
    assert_eq!(scores(&ground.examine().await)[0], Score::new(49 - 4, 49));
    ground.close().await;
}

#[tokio::test]
async fn a_row_with_two_violations_is_one_row_that_is_wrong() {
    let ground = Ground::in_order().await;
    ground.damage("UPDATE appointments SET created_by = NULL, booking_source = NULL WHERE number = 5").await;
    let report = ground.examine().await;
    assert_eq!(found(&report).len(), 2);
    assert_eq!(scores(&report)[1], Score::new(24, 25));
    ground.close().await;
}

#[tokio::test]
async fn a_change_counts_as_audited_with_its_row_of_history_and_with_its_call_if_a_call_caused_it() {
    let ground = Ground::in_order().await;
    // a row of history that is gone: the change is still known from the appointment
    ground
        .damage("DELETE FROM appointment_modifications m USING appointments a WHERE a.id = m.appointment_id AND a.number = 4 AND m.kind = 'rescheduled'")
        .await;
    assert_eq!(scores(&ground.examine().await)[2], Score::new(13, 14));
    // one whose call is not named
    ground
        .damage("UPDATE appointment_modifications SET call_id = NULL, import_run_id = '00000000-0000-0000-0000-0000000000f1' WHERE kind = 'booked' AND source = 'retell_phone' AND call_id = '00000000-0000-0000-0000-0000000000d2'")
        .await;
    assert_eq!(scores(&ground.examine().await)[2], Score::new(12, 14));
    ground.close().await;
}

#[tokio::test]
async fn a_company_without_rows_is_in_order() {
    let ground = Ground::in_order().await;
    let neighbour = ground.neighbour().await;
    let report = ground.examine_as("frontdesk_operator", neighbour, 5).await;
    assert_eq!((found(&report), scores(&report)), (Vec::new(), [Score::default(); 3]));
    ground.close().await;
}

//! Webhooks that are lost, doubled, late or out of order, and what the ledger says of them.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::json;

use super::super::{Fate, WebhookFaultKind, WebhookFaultRule, WebhookFaults};
use super::{World, answered, at, until};

const START: &str = "2026-07-06T08:00:00Z";

fn only(rule: WebhookFaultRule) -> WebhookFaults {
    WebhookFaults { rules: vec![rule], seed: Some(7) }
}

fn fates(world: &World) -> Vec<(String, Fate)> {
    world.calcom.deliveries().into_iter().map(|delivery| (delivery.trigger, delivery.fate)).collect()
}

async fn cancel(world: &World, uid: &str) {
    let (status, body) = world.post(&format!("/bookings/{uid}/cancel"), json!({"cancellationReason": "x"})).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_lost_webhook_reaches_nobody_and_stands_in_the_ledger() {
    let world = World::start().await;
    world.calcom.set_webhook_faults(only(WebhookFaultRule::on_trigger(WebhookFaultKind::Lose, "BOOKING_CREATED")));
    let uid = world.book(START).await;
    cancel(&world, &uid).await;
    assert_eq!(world.receiver.triggers(), ["BOOKING_CANCELLED"]);
    assert_eq!(fates(&world), [("BOOKING_CREATED".to_owned(), Fate::Lost), ("BOOKING_CANCELLED".to_owned(), Fate::Sent)]);
    assert_eq!(world.calcom.deliveries()[0].uid.as_deref(), Some(uid.as_str()));
    assert_eq!(world.calcom.webhooks_by_fate(), BTreeMap::from([(Fate::Sent, 1), (Fate::Lost, 1)]));
    assert_eq!(world.calcom.faults_fired()["webhook_lost"], 1);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_webhooks() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let world = World::start().await;
        world.calcom.set_webhook_faults(WebhookFaults::lose(0.3, 42));
        for hour in 8..18 {
            let uid = world.book(&format!("2026-07-06T{hour:02}:00:00Z")).await;
            cancel(&world, &uid).await;
        }
        let lost = world.calcom.webhooks_by_fate()[&Fate::Lost];
        assert!((1..15).contains(&lost), "{lost} of 20 at three tenths");
        assert_eq!(world.receiver.got().len() as u64, 20 - lost);
        runs.push(fates(&world));
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn in_a_window_everything_is_lost_and_outside_nothing() {
    let world = World::start().await;
    let opens = at("2026-06-30T12:01:00Z");
    let rule = WebhookFaultRule { from: Some(opens), until: Some(opens + TimeDelta::minutes(10)), ..WebhookFaultRule::always(WebhookFaultKind::Lose) };
    world.calcom.set_webhook_faults(only(rule));
    for (hour, offset_ms) in [(8, 59_999), (9, 60_000), (10, 659_999), (11, 660_000)] {
        world.calcom.set_clock_offset_ms(offset_ms);
        world.book(&format!("2026-07-06T{hour:02}:00:00Z")).await;
    }
    let fates: Vec<Fate> = world.calcom.deliveries().iter().map(|delivery| delivery.fate).collect();
    assert_eq!(fates, [Fate::Sent, Fate::Lost, Fate::Lost, Fate::Sent]);
}

#[tokio::test]
async fn a_double_comes_twice_with_the_same_bytes_or_rebuilt() {
    let world = World::start().await;
    let twice = |rebuilt| WebhookFaultRule { times: Some(1), ..WebhookFaultRule::always(WebhookFaultKind::Double { after_ms: 1, rebuilt }) };
    world.calcom.set_webhook_faults(WebhookFaults { rules: vec![twice(false), twice(true)], seed: None });
    world.book(START).await;
    until("the double", || world.calcom.deliveries().len() == 2).await;
    let uid = world.book("2026-07-06T09:00:00Z").await;
    world.calcom.set_clock_offset_ms(1_000);
    until("the rebuilt double", || world.calcom.deliveries().len() == 4).await;
    cancel(&world, &uid).await;
    let bodies: Vec<String> = world.receiver.got().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 5, "the rules are used up");
    assert_eq!(bodies[0], bodies[1]);
    assert!(bodies[3].contains(&uid));
    let fates: Vec<Fate> = world.calcom.deliveries().iter().map(|delivery| delivery.fate).collect();
    assert_eq!(fates, [Fate::Sent, Fate::Doubled, Fate::Sent, Fate::Doubled, Fate::Sent]);
}

#[tokio::test]
async fn a_late_webhook_is_overtaken_and_nobody_waits_for_it() {
    let world = World::start().await;
    let late = WebhookFaultKind::Late { ms: 300 };
    world.calcom.set_webhook_faults(only(WebhookFaultRule { times: Some(1), ..WebhookFaultRule::always(late) }));
    let uid = world.book(START).await;
    assert_eq!((world.receiver.got().len(), world.calcom.webhooks_under_way()), (0, 1));
    cancel(&world, &uid).await;
    until("the late one", || world.calcom.webhooks_under_way() == 0).await;
    assert_eq!(world.receiver.triggers(), ["BOOKING_CANCELLED", "BOOKING_CREATED"]);
    assert_eq!(fates(&world)[1], ("BOOKING_CREATED".to_owned(), Fate::Late));
}

#[tokio::test]
async fn shuffled_webhooks_all_come_in_another_order() {
    let world = World::start().await;
    world.calcom.set_webhook_faults(only(WebhookFaultRule::always(WebhookFaultKind::Shuffle { within_ms: 400 })));
    let mut made = Vec::new();
    for hour in 8..18 {
        made.push(world.book(&format!("2026-07-06T{hour:02}:00:00Z")).await);
    }
    until("all of them", || world.calcom.webhooks_under_way() == 0 && world.receiver.got().len() == 10).await;
    let got: Vec<String> = world.calcom.deliveries().into_iter().filter_map(|delivery| delivery.uid).collect();
    assert_ne!(got, made);
    assert_eq!(got.iter().collect::<std::collections::BTreeSet<_>>(), made.iter().collect());
}

#[tokio::test]
async fn webhook_faults_are_set_over_http() {
    let world = World::start().await;
    let url = format!("{}/admin/webhook-faults", world.calcom.base_url);
    let wish = json!({"seed": 3, "rules": [
        {"kind": "lose", "triggers": ["BOOKING_CREATED"], "probability": 1.0, "until": "2026-07-01T00:00:00Z"},
        {"kind": {"double": {"after_ms": 5, "rebuilt": true}}, "times": 2},
        {"kind": {"late": {"ms": 5}}}, {"kind": {"shuffle": {"within_ms": 5}}}]});
    assert_eq!(world.http.post(&url).json(&wish).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(answered(world.http.get(&url)).await.1["rules"].as_array().unwrap().len(), 4);
    world.book(START).await;
    assert_eq!(world.receiver.got().len(), 0);
    let (_, fired) = answered(world.http.get(format!("{}/admin/faults/fired", world.calcom.base_url))).await;
    assert_eq!(fired["webhook_lost"], 1);
    world.http.delete(&url).send().await.unwrap();
    world.book("2026-07-06T09:00:00Z").await;
    assert_eq!(world.receiver.got().len(), 1);
}

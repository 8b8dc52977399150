//! `frontdesk spool drain` against a real broker: an orphaned folder is emptied once, a living ingress' folder never. Architecture section 5.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::Weekday;
use dev::calcom_stand_in::sign::sign_calcom;
use dev::retell_stand_in::Target;
use serde_json::{Value, json};
use shared::broker::depth::Gauge;
use shared::broker::topology;
use shared::envelope::{Lane, Role};
use tests::processes::{Process, free_port};
use tests::web_bookings::WebBookings;
use tests::world::ahead;
use tests::{World, WorldOptions, eventually, fixtures, http};

const WEBHOOKS: usize = 30;

/// One run of the command: exit code and everything it said.
async fn drain(world: &World, name: &str, folder: &Path, amqp_url: Option<&str>) -> (Option<i32>, String) {
    let mut environment = world.environment();
    // the command asks for nothing but the broker
    environment.remove("DATABASE_URL");
    environment.remove("MASTER_KEYS");
    if let Some(url) = amqp_url {
        environment.insert("AMQP_URL".to_owned(), url.to_owned());
    }
    let arguments = ["--json", "spool", "drain", "--patience", "5", "--dir", folder.to_str().unwrap()];
    let mut command = Process::start(&format!("drain-{name}"), "frontdesk", &arguments, &environment, &world.folder);
    let code = command.wait().await;
    (code, command.logged())
}

fn answer(said: &str) -> Value {
    serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("not JSON: {said}"))
}

/// An ingress without a broker, with webhooks and one caller's wish in its spool.
async fn spooling(world: &World, folder: &Path) -> Process {
    let address = format!("127.0.0.1:{}", free_port());
    let mut environment = world.environment();
    environment.insert("LISTEN".to_owned(), address.clone());
    environment.insert("SPOOL_DIR".to_owned(), folder.display().to_string());
    environment.insert("AMQP_URL".to_owned(), format!("amqp://nobody:nothing@127.0.0.1:{}/x", free_port()));
    let mut process = Process::start("ingress-orphan", "ingress", &[], &environment, &world.folder);
    process.ready(&format!("http://{address}/readyz")).await;
    let url = format!("http://{address}/v1/calcom/{}", world.calcom_endpoint);
    for n in 0..WEBHOOKS {
        let body = WebBookings::default().body(n);
        assert_eq!(http::post(&url, "x-cal-signature-256", &sign_calcom(fixtures::CALCOM_SECRET, &body), body).await.status, 204);
    }
    world.retell.aim(Target { url: format!("http://{address}/v1/retell/{}", world.retell_endpoint), api_key: fixtures::RETELL_KEY.to_owned() });
    let (_, date, _) = ahead(3, Weekday::Thu, 9, 0);
    let mut call = world.retell.inbound("+4915112345678", "+493023125042");
    let told = call.function("book_appointment", json!({ "date": date, "time": "09:00", "service_name": "Beratung", "customer_name": "Jürgen Groß" })).await;
    assert_eq!((told.status, &told.body["pending"]), (200, &json!(true)));
    process
}

#[tokio::test]
async fn an_orphaned_spool_is_published_once_and_a_living_one_is_left_alone() {
    let mut world = World::with(WorldOptions { roles: Vec::new(), ingresses: 0, ..WorldOptions::default() }).await;
    let folder = world.folder.join("orphan");
    let mut process = spooling(&world, &folder).await;
    let gauge = Gauge::open(&world.amqp_url).await.unwrap();
    let bulk = topology::queue(Role::Booking, Lane::Bulk);
    let everything = u64::try_from(WEBHOOKS).unwrap() + 1;

    let (code, said) = drain(&world, "alive", &folder, None).await;
    assert!(code == Some(2) && said.contains("in use"), "{code:?} {said}");
    process.kill();

    let nowhere = format!("amqp://nobody:nothing@127.0.0.1:{}/x", free_port());
    let (code, said) = drain(&world, "without-broker", &folder, Some(&nowhere)).await;
    assert!(code == Some(2) && !said.contains("nothing@"), "{code:?} {said}");
    let (code, said) = drain(&world, "mistyped", &world.folder.join("mistyped"), None).await;
    assert!(code == Some(2) && said.contains("holds no spool"), "{code:?} {said}");
    assert_eq!(gauge.depth(bulk.as_str()).await.unwrap(), 0);

    let (code, said) = drain(&world, "orphan", &folder, None).await;
    // besides the wish: what its caller heard
    let heard = topology::queue(Role::Calls, Lane::Bulk);
    let published = json!([{ "queue": bulk.as_str(), "messages": everything }, { "queue": heard.as_str(), "messages": 1 }]);
    let expected = json!({ "found": everything + 1, "published": published, "left": 0, "damaged": 0 });
    assert_eq!((code, answer(&said)), (Some(0), expected));
    eventually("all of it is in its queue", || async { (u64::from(gauge.depth(bulk.as_str()).await.unwrap()) == everything).then_some(()) }).await;

    let (code, said) = drain(&world, "again", &folder, None).await;
    assert_eq!((code, answer(&said)), (Some(0), json!({ "found": 0, "published": [], "left": 0, "damaged": 0 })), "it can be repeated");
    assert_eq!(u64::from(gauge.depth(bulk.as_str()).await.unwrap()), everything);

    world.start_workers(&["all"], &BTreeMap::new()).await;
    eventually("every webhook has its effect, and the caller's wish", || async {
        (world.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await == i64::try_from(WEBHOOKS).unwrap() + 1).then_some(())
    })
    .await;
    // the caller was gone: nobody waited for the answer, which is kept all the same
    assert_eq!(world.count("SELECT count(*) FROM function_calls WHERE state = 'final'").await, 1);
    world.settle_all().await;
    world.ingresses.push(process);
    world.finish().await;
}

//! The second half of a two-step booking, and what is asked before anything is booked: who lost the time meanwhile, who has not said a name, who shows no number where the account
//! demands one. Not the table of all functions and cases (`function_table`), not offers and holds themselves (`availability`, `holds`).

use chrono::Weekday;
use dev::calcom_stand_in::EventType;
use dev::retell_stand_in::Call;
use serde_json::{Value, json};
use shared::domain::person_names::ContactRule;
use shared::store::accounts;
use shared::texts::{Key, lint};
use tests::world::ahead;
use tests::{World, eventually};

const OURS: &str = "+493023125042";

/// Calls a function and holds its sentence to the lint.
async fn ask(call: &mut Call, name: &str, arguments: Value) -> Value {
    let answer = call.function(name, arguments.clone()).await.body;
    let message = answer["message"].as_str().unwrap_or_else(|| panic!("{name} {arguments} says nothing: {answer}"));
    assert_eq!(lint::faults(message), [], "{name} {arguments}: {message}");
    answer
}

/// Incident 30: while the caller thought, a visitor of the web page took the time that the call held. The yes hears what else there is, as any other loser does, and a second yes does
/// not mean the time that is gone.
#[tokio::test]
async fn a_yes_that_comes_too_late_hears_alternatives() {
    let world = World::new().await;
    let (ten, date, _) = ahead(3, Weekday::Thu, 10, 0);
    let mut call = world.retell.inbound("+4915112345678", OURS);
    let wish = json!({ "date": date, "time": "10:00", "service_name": "Beratung", "name": "Jürgen Groß" });
    assert_eq!(ask(&mut call, "collect_appointment_data", wish).await["awaiting_confirmation"], true);
    let visitor = json!({ "event_type_id": 1321, "start": ten, "name": "Erika Musterfrau", "email": "erika@example.org" });
    world.calcom.visitor_book(serde_json::from_value(visitor).unwrap()).await.unwrap();
    eventually("the visitor's booking is ours, too", || async { (world.appointments().await.len() == 1).then_some(()) }).await;

    let lost = ask(&mut call, "confirm_booking", json!({ "bestaetigung": true })).await;
    assert_eq!((&lost["success"], &lost["booked"], &lost["reason"]), (&json!(false), &json!(false), &json!("slot_taken")), "{lost}");
    let offered = lost["alternatives"].as_array().unwrap().clone();
    assert!((1..=2).contains(&offered.len()) && offered.iter().all(|row| row["date"] != date || row["time"] != "10:00"), "{lost}");
    assert!(offered.iter().all(|row| lost["message"].as_str().unwrap().contains(row["description"].as_str().unwrap())), "{lost}");
    // in other words: the same ones are the same wish for some seconds, and hear the same answer
    let again = ask(&mut call, "confirm_booking", json!({ "confirm": "ja" })).await;
    assert_eq!(again["reason"], "nothing_to_confirm", "{again}");
    let taken = json!({ "date": offered[0]["date"], "time": offered[0]["time"], "service_name": "Beratung", "customer_name": "Jürgen Groß" });
    assert_eq!(ask(&mut call, "book_appointment", taken).await["booked"], true, "what was offered instead is got");
    world.settle_all().await;
    assert_eq!(world.calcom.live_bookings().len(), 2);
    world.finish().await;
}

/// Incident 49: nothing is booked for nobody; whoever says the name with the yes need not begin anew.
#[tokio::test]
async fn a_name_may_come_with_the_yes() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 10, 0);
    let mut call = world.retell.inbound("+4915112345678", OURS);
    let held = ask(&mut call, "reserve_slot", json!({ "date": date, "time": "10:00", "service_name": "Beratung" })).await;
    assert_eq!(held["reserved"], true, "{held}");
    let nameless = ask(&mut call, "confirm_booking", json!({ "bestaetigung": true })).await;
    assert_eq!(nameless["message"], Key::AskName.german(), "{nameless}");
    let booked = ask(&mut call, "confirm_booking", json!({ "bestaetigung": true, "name": "Jürgen Groß" })).await;
    assert_eq!(booked["booked"], true, "{booked}");
    world.settle_all().await;
    assert_eq!(world.appointments().await[0]["name_given"], "Jürgen Groß");
    world.finish().await;
}

/// Incidents 28 and 80: a bare yes names nothing, so the second one in a call is about what was asked last, and is not answered from the first. A name that is none, said with it, is not
/// taken for the one that was read back.
#[tokio::test]
async fn each_yes_of_a_call_means_what_was_asked_before_it() {
    let world = World::new().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 10, 0);
    let mut call = world.retell.inbound("+4915112345678", OURS);
    let yes = json!({ "bestaetigung": true });
    for (time, name, said) in
        [("10:00", "Jürgen Groß", yes.clone()), ("11:00", "Max Groß", yes.clone()), ("12:00", "Max Groß", json!({ "bestaetigung": true, "name": "Unbekannt" }))]
    {
        let wish = json!({ "date": date, "time": time, "service_name": "Beratung", "name": name });
        assert_eq!(ask(&mut call, "collect_appointment_data", wish).await["awaiting_confirmation"], true, "{time}");
        let booked = ask(&mut call, "confirm_booking", said).await;
        assert_eq!((&booked["booked"], &booked["starts_at"]), (&json!(true), &json!(format!("{date} {time}"))), "{booked}");
        // nothing more was asked: the same yes once more is about the same booking
        assert_eq!(ask(&mut call, "confirm_booking", yes.clone()).await["appointment_number"], booked["appointment_number"]);
        world.settle_all().await;
    }
    let names: Vec<_> = world.appointments().await.into_iter().map(|row| row["name_given"].clone()).collect();
    assert_eq!(names, ["Jürgen Groß", "Max Groß", "Max Groß"]);
    assert_eq!(world.calcom.live_bookings().len(), 3);
    world.finish().await;
}

/// Incidents 19, 44 and 52: a phone-only account takes nobody without a number, so whoever withholds it is asked for one. What is told goes to Cal.com with this booking, and makes nobody
/// the customer of that number.
#[tokio::test]
async fn a_phone_only_account_asks_for_the_number_that_a_caller_withholds() {
    let world = phone_only().await;
    let (_, date, _) = ahead(3, Weekday::Thu, 10, 0);
    let wish = |time: &str| json!({ "date": date, "time": time, "service_name": "Beratung", "customer_name": "Jürgen Groß" });
    let with = |mut arguments: Value, phone: &str| {
        arguments["customer_phone"] = json!(phone);
        arguments
    };
    // the customer of the number that is told later
    let mut known = world.retell.inbound("+4915112345678", OURS);
    assert_eq!(ask(&mut known, "book_appointment", wish("09:00")).await["booked"], true, "who shows the number is asked nothing");

    let mut call = world.retell.inbound("anonymous", OURS);
    for arguments in [wish("10:00"), with(wish("10:00"), "zwölf"), with(wish("10:00"), "110")] {
        let asked = ask(&mut call, "book_appointment", arguments.clone()).await;
        assert_eq!((&asked["success"], &asked["message"]), (&json!(false), &json!(Key::AskPhone.german())), "{arguments}");
    }
    assert_eq!(ask(&mut call, "book_appointment", with(wish("10:00"), "0151 12345678")).await["booked"], true);

    let mut thinks = world.retell.inbound("anonymous", OURS);
    assert_eq!(ask(&mut thinks, "collect_appointment_data", wish("11:00")).await["message"], Key::AskPhone.german());
    assert_eq!(ask(&mut thinks, "collect_appointment_data", with(wish("11:00"), "0170 1234567")).await["status"], "available");
    assert_eq!(ask(&mut thinks, "confirm_booking", json!({ "bestaetigung": true })).await["message"], Key::AskPhone.german());
    assert_eq!(ask(&mut thinks, "confirm_booking", json!({ "bestaetigung": true, "telefonnummer": "0170 1234567" })).await["booked"], true);
    world.settle_all().await;

    let mut told: Vec<String> = world.calcom.live_bookings().iter().filter_map(|booking| booking.attendees[0].phone_number.clone()).collect();
    told.sort();
    assert_eq!(told, ["+4915112345678", "+4915112345678", "+491701234567"]);
    let customers = world.rows("SELECT jsonb_build_object('phone', phone, 'appointments', (SELECT count(*) FROM appointments a WHERE a.customer_id = c.id)) FROM customers c ORDER BY phone").await;
    let nobody = json!({ "phone": null, "appointments": 1 });
    assert_eq!(customers, [json!({ "phone": "+4915112345678", "appointments": 1 }), nobody.clone(), nobody]);
    assert_eq!(world.count("SELECT count(*) FROM callback_requests").await, 0);
    world.finish().await;
}

/// An account whose booking forms hide the e-mail address, set up as the reference says (calcom reference 3.3).
async fn phone_only() -> World {
    let world = World::new().await;
    let form = json!({ "id": 1321, "slug": "beratung", "title": "Beratung", "length": 30, "hosts": [4711], "email_required": false });
    world.calcom.add_event_type(serde_json::from_value::<EventType>(form).unwrap());
    let account = world.company.calcom_account_id.unwrap();
    assert!(accounts::set_contact_rule(&world.db, account, ContactRule::PhoneRequired).await.unwrap());
    world
}

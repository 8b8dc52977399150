//! The catalogue. One row per sentence: key, slots, German. Each asks something or says what happens next; a test holds that and the other rules of `lint`.
//!
//! Until Cal.com has confirmed nothing is "gebucht", and a promise is a row before it is a word (architecture sections 6 and 9).

use std::fmt;

use super::clean;

macro_rules! catalogue {
    ($($(#[$meta:meta])* $key:ident { $($slot:ident),* } $german:literal)*) => {
        /// The name of a sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Key {
            $($(#[$meta])* $key,)*
        }

        impl Key {
            /// Every sentence, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$key,)*];

            /// The German text with its slots in braces; the sentence itself if it has none.
            #[must_use]
            pub const fn german(self) -> &'static str {
                match self {
                    $(Self::$key => $german,)*
                }
            }

            /// What has to be filled in.
            #[must_use]
            pub const fn slots(self) -> &'static [&'static str] {
                match self {
                    $(Self::$key => &[$(stringify!($slot),)*],)*
                }
            }
        }

        /// A sentence with what fills it.
        #[derive(Clone, Copy)]
        pub enum Sentence<'a> {
            $($(#[$meta])* $key { $($slot: &'a str,)* },)*
        }

        impl Sentence<'_> {
            #[must_use]
            pub const fn key(&self) -> Key {
                match self {
                    $(Self::$key { .. } => Key::$key,)*
                }
            }

            /// As it is spoken.
            #[must_use]
            pub fn german(&self) -> String {
                match self {
                    $(Self::$key { $($slot,)* } => {
                        $(let $slot = clean($slot);)*
                        format!($german)
                    })*
                }
            }
        }

        /// Each sentence with the longest that may fill it, for the lint.
        #[cfg(test)]
        fn samples() -> Vec<Sentence<'static>> {
            vec![$(Sentence::$key { $($slot: sample(stringify!($slot)),)* },)*]
        }
    };
}

catalogue! {
    // While a function runs (spoken by the agent itself).

    WaitForCalendar {} "Einen kleinen Moment, ich schaue im Kalender nach."
    WaitForBooking {} "Einen kleinen Moment, ich trage das ein."
    WaitForChange {} "Einen kleinen Moment, ich kümmere mich um Ihren Termin."

    // The answer is late, or there is none.

    /// A read took too long.
    ReadLate {} "Das dauert gerade etwas länger. Einen kleinen Moment bitte, ich versuche es gleich noch einmal."
    /// A write took too long: it is carried out all the same.
    WriteLate {} "Ich trage das gerade ein. Die Bestätigung dauert einen Moment, wir melden uns, falls noch etwas offen ist."
    BookingLate {} "Ich trage den Termin gerade ein. Die Bestätigung dauert einen Moment, wir melden uns, falls er nicht klappt."
    CancellationLate {} "Ich sage den Termin gerade ab. Die Bestätigung dauert einen Moment, wir melden uns, falls noch etwas offen ist."
    RescheduleLate {} "Ich verschiebe den Termin gerade. Die Bestätigung dauert einen Moment, wir melden uns, falls es nicht klappt."
    /// Incident 84: an unknown function was answered with silence.
    CannotDoThis {} "Das kann ich gerade leider nicht für Sie erledigen. Möchten Sie, dass wir Sie zurückrufen?"
    /// Failed for good; the callback is a row.
    CouldNot {} "Das hat gerade leider nicht geklappt. Wir kümmern uns darum und rufen Sie zurück."
    /// A limit per call or company is reached.
    TooMuchAtOnce {} "Das waren gerade sehr viele Anfragen auf einmal. Was davon ist Ihnen am wichtigsten?"

    // What is missing or not understood (incidents 41, 49, 62: ask, never fill in).

    AskName {} "Auf welchen Namen darf ich den Termin eintragen?"
    /// What was told is no customer's name: a placeholder, a time, a colleague's name.
    AskFullName {} "Ihren Namen habe ich leider nicht verstanden. Wie heißen Sie mit Vor- und Nachnamen?"
    AskService {} "Um welche Leistung geht es?"
    AskDate {} "An welchem Tag möchten Sie kommen?"
    AskTime {} "Um welche Uhrzeit genau?"
    AskDateAndTime {} "An welchem Tag und um welche Uhrzeit genau?"
    AskNewDateAndTime {} "Auf welchen Tag und welche Uhrzeit soll ich den Termin verschieben?"
    AskWhichAppointment {} "Um welchen Termin geht es, an welchem Tag und um welche Uhrzeit?"
    AskStaff {} "Bei wem möchten Sie den Termin?"
    AskDuration {} "Wie lange soll der Termin ungefähr dauern?"
    AskBranch {} "Welche Filiale meinen Sie?"
    AskCallbackTime {} "Wann dürfen wir Sie zurückrufen?"
    AskPhone {} "Unter welcher Telefonnummer erreichen wir Sie?"
    AskEmail {} "Wie lautet Ihre E-Mail-Adresse?"
    AskPreference {} "Was genau darf ich mir für Sie merken?"
    NotUnderstood {} "Das habe ich leider nicht verstanden. Können Sie es bitte noch einmal sagen?"

    // Dates.

    CurrentTime { time, date } "Es ist {time}, heute ist {date}. Wie kann ich Ihnen helfen?"
    DateUnderstood { date } "Sie meinen {date}. Ist das richtig?"
    DateNotUnderstood {} "Den Tag habe ich leider nicht verstanden. An welchem Datum möchten Sie kommen?"
    InThePast {} "Dieser Zeitpunkt ist schon vorbei. An welchem Tag möchten Sie kommen?"
    FarAhead { date } "Das wäre erst für {date}. Ist das richtig?"
    NoSuchTime {} "Diese Uhrzeit gibt es an dem Tag wegen der Zeitumstellung nicht. Welche andere Uhrzeit passt Ihnen?"
    TimeIsOver {} "Das ist schon vorbei. Welcher kommende Tag und welche Uhrzeit passen Ihnen?"
    /// Incident 56: what is over is told, never corrected in silence.
    ThatIsOver { said } "Das wäre für {said}, und das ist schon vorbei. Welcher kommende Tag und welche Uhrzeit passen Ihnen?"
    ThatIsOverMeant { said, choices } "Das wäre für {said}, und das ist schon vorbei. Meinen Sie {choices}?"
    WeekdayMismatch { choices } "Der Wochentag passt nicht zum Datum. Meinen Sie {choices}, oder welchen Tag?"
    DayMissing { choices } "Diesen Tag gibt es in dem Monat nicht. Meinen Sie {choices}?"
    WhichOfTimes { choices } "Ich habe mehrere Zeiten gehört. Welche soll es sein: {choices}?"
    /// Incidents 57 to 59: what can mean two things is asked.
    MeantTime { choices } "Meinen Sie {choices}?"
    WhichMidnight {} "Meinen Sie Mitternacht zu Beginn oder am Ende des Tages?"
    TimeUnclear {} "Das habe ich nicht eindeutig verstanden. Welchen Tag und welche Uhrzeit meinen Sie?"
    FirstOfSeries {} "Ich trage gern einen Termin nach dem anderen ein. An welchem Tag soll der erste sein?"
    AskExactTime {} "Um wie viel Uhr genau?"
    AskDayAndTime {} "An welchem Tag und um welche Uhrzeit passt es Ihnen?"
    NoSuchDate {} "Diesen Tag gibt es im Kalender nicht. Welchen Tag meinen Sie?"
    NoSuchClockTime {} "Diese Uhrzeit gibt es nicht. Um wie viel Uhr meinen Sie?"
    TimeNotUnderstood {} "Die Zeit habe ich leider nicht verstanden. An welchem Tag und um welche Uhrzeit möchten Sie kommen?"
    TooMuchSaid {} "Das war etwas viel auf einmal. An welchem Tag und um welche Uhrzeit möchten Sie kommen?"

    // Who calls.

    GreetNew {} "Schön, dass Sie anrufen. Wie kann ich Ihnen helfen?"
    GreetKnown { name } "Schön, dass Sie wieder anrufen, {name}. Wie kann ich Ihnen helfen?"
    /// Not here for half a year.
    GreetAfterLong { name } "Schön, dass Sie sich wieder einmal melden, {name}. Wie kann ich Ihnen helfen?"
    GreetVip { name } "Schön, Sie wieder zu hören, {name}. Was darf ich heute für Sie tun?"
    GreetAnonymous {} "Schön, dass Sie anrufen. Darf ich fragen, wie Sie heißen?"

    // What is free.

    Free { when } "Der Termin {when} ist frei. Soll ich ihn für Sie eintragen?"
    /// Offered, not booked: the wished time itself is not free.
    NearlyFree { when } "Genau zu dieser Zeit ist nichts frei, aber {when}. Passt Ihnen das?"
    NotFree { alternatives } "Zu dieser Zeit ist leider nichts frei. Ich kann Ihnen {alternatives} anbieten. Was passt Ihnen?"
    Alternatives { alternatives } "Frei ist {alternatives}. Was passt Ihnen?"
    NothingFree {} "In den nächsten zwei Wochen finde ich leider nichts Freies. Soll Sie jemand zurückrufen?"
    /// Cal.com cannot be asked now: nothing is guessed.
    CalendarAway {} "Den Kalender kann ich gerade leider nicht einsehen. Soll Sie jemand dazu zurückrufen?"
    TooSoon {} "So kurzfristig geht es leider nicht mehr. Welche spätere Zeit passt Ihnen?"
    TooFar {} "So weit im Voraus nehmen wir noch keine Termine an. Welcher frühere Tag passt Ihnen?"
    OutOfBounds {} "Zu dieser Zeit nehmen wir leider keine Termine an. Welche andere Zeit passt Ihnen?"
    /// Incident 70: the caller's own appointment was offered as free.
    OwnAppointmentThen { when } "Sie haben {when} schon einen Termin bei uns. Soll ich nach einer anderen Zeit schauen?"
    SlotHeld { when } "Ich halte den Termin {when} kurz für Sie frei. Soll ich ihn fest eintragen?"
    SlotReleased {} "Gut, ich habe die Zeit wieder freigegeben. Nach welcher anderen Zeit soll ich schauen?"
    NothingHeld {} "Ich habe gerade keine Zeit für Sie vorgemerkt. Nach welchem Termin soll ich schauen?"

    // Booking.

    /// Incident 80: an unsaid confirmation is no "no".
    ReadBack { service, when, name } "Ich trage ein: {service}, {when}, auf den Namen {name}. Ist das richtig?"
    Booked { when } "Ihr Termin am {when} ist gebucht. Kann ich sonst noch etwas für Sie tun?"
    BookingRequested { when } "Ihr Termin am {when} ist angefragt. Die Bestätigung folgt, sobald der Betrieb zugesagt hat."
    SlotTaken {} "Dieser Termin ist leider gerade nicht mehr frei. Soll ich nach einer anderen Zeit schauen?"
    /// Incident 30: the loser of a race hears what else there is.
    RaceLost { alternatives } "Diese Zeit wurde leider gerade vergeben. Frei ist noch {alternatives}. Was passt Ihnen?"
    NotBookable {} "Diese Leistung kann ich am Telefon gerade nicht eintragen. Wir rufen Sie dazu gerne zurück."
    NothingToConfirm {} "Es liegt gerade keine Buchung zum Bestätigen vor. Welchen Termin möchten Sie buchen?"

    // What the company offers.

    /// Incident 67: an unknown service is a list, never a default.
    ServiceChoice { services } "Welche Leistung möchten Sie? Wir bieten zum Beispiel {services}."
    ServiceUnknown {} "Diese Leistung kann ich leider nicht buchen. Möchten Sie, dass wir Sie zurückrufen?"
    ServiceInfo { service, minutes } "{service} dauert etwa {minutes} Minuten. Möchten Sie dafür einen Termin?"
    ServiceInfoWithPrice { service, minutes, price } "{service} dauert etwa {minutes} Minuten und kostet {price}. Möchten Sie dafür einen Termin?"
    OpeningHours { hours } "Geöffnet ist {hours}. Wann möchten Sie kommen?"
    ClosedThen {} "An diesem Tag haben wir geschlossen. Welcher andere Tag passt Ihnen?"
    OpeningHoursUnknown {} "Die Öffnungszeiten kann ich Ihnen gerade nicht nennen. Soll ich nach einem bestimmten Tag schauen?"
    /// Incident 55: nobody is put in somebody's place in silence.
    StaffUnknown {} "Diesen Namen finde ich in unserem Team leider nicht. Soll ich bei jemand anderem schauen?"
    StaffAmbiguous { staff } "Meinen Sie {staff}?"
    StaffCannotDoThis { staff, service } "{staff} bietet {service} leider nicht an. Soll ich bei jemand anderem schauen?"

    /// Several people do it and Cal.com chooses among them: nobody is promised.
    StaffChosenByCalendar { staff, service } "Wer {service} übernimmt, entscheidet der Kalender, {staff} kann ich nicht fest zusagen. Soll ich trotzdem schauen?"

    // Appointments that there are.

    OneAppointment { when, service } "Sie haben {when} einen Termin: {service}. Möchten Sie daran etwas ändern?"
    /// Incident 72: several are said, the earliest is never taken.
    SeveralAppointments { appointments } "Sie haben mehrere Termine: {appointments}. Welchen meinen Sie?"
    NoAppointment {} "Ich finde dazu leider keinen kommenden Termin. An welchem Tag wäre er denn?"
    NoAppointments {} "Für Sie ist kein kommender Termin eingetragen. Möchten Sie einen vereinbaren?"
    /// Whoever withholds the number hears nothing about anybody.
    AnonymousQuestion {} "Da ich Ihre Nummer nicht sehe, kann ich dazu keine Auskunft geben. Soll Sie jemand zurückrufen?"
    /// Incident 53: an anonymous wish to change is a callback.
    AnonymousChange {} "Da ich Ihre Nummer nicht sehe, kann ich den Termin nicht selbst ändern. Ein Mitarbeiter kümmert sich darum und meldet sich."
    Cancelled { when } "Ihr Termin am {when} ist abgesagt. Kann ich sonst noch etwas für Sie tun?"
    CancelledWithFee { when, fee } "Ihr Termin am {when} ist abgesagt. Dafür berechnen wir {fee}. Kann ich sonst noch etwas für Sie tun?"
    RescheduleReadBack { from, to } "Ich verschiebe Ihren Termin von {from} auf {to}. Ist das richtig?"
    /// What it costs is said before it is done.
    RescheduleReadBackWithFee { from, to, fee } "Ich verschiebe Ihren Termin von {from} auf {to}. Dafür berechnen wir {fee}. Ist das richtig?"
    Rescheduled { when } "Ihr Termin ist verschoben. Er ist jetzt am {when}. Kann ich sonst noch etwas für Sie tun?"
    RescheduledWithFee { when, fee } "Ihr Termin ist verschoben. Er ist jetzt am {when}. Dafür berechnen wir {fee}. Kann ich sonst noch etwas für Sie tun?"
    RescheduleRequested { when } "Die Verschiebung auf {when} ist angefragt. Die Bestätigung folgt, sobald der Betrieb zugesagt hat."
    DeadlineMissed { hours } "Am Telefon geht das leider nur bis {hours} Stunden vor dem Termin. Soll Sie jemand dazu zurückrufen?"
    QuotaExceeded {} "In den letzten dreißig Tagen wurden schon mehrere Termine geändert. Soll Sie jemand dazu zurückrufen?"
    MaxReschedulesReached {} "Dieser Termin wurde schon so oft verschoben, wie es möglich ist. Soll Sie jemand dazu zurückrufen?"
    AlreadyStarted {} "Dieser Termin hat schon begonnen, ich kann ihn nicht mehr ändern. Soll Sie jemand zurückrufen?"

    // Preferences and benefits.

    PreferenceSaved {} "Das habe ich mir für Sie gemerkt. Kann ich sonst noch etwas für Sie tun?"
    PreferenceNeedsCustomer {} "Das kann ich mir nur merken, wenn ich Ihre Nummer sehe. Kann ich sonst etwas für Sie tun?"
    Benefits { benefits } "Als Stammkunde haben Sie bei uns {benefits}. Möchten Sie einen Termin vereinbaren?"
    NoBenefits {} "Besondere Vorteile sind für Sie noch nicht eingetragen. Möchten Sie einen Termin vereinbaren?"

    // Callbacks and transfers.

    CallbackPromised {} "Gern, ich habe notiert, dass wir Sie zurückrufen. Wir melden uns spätestens morgen."
    CallbackPromisedUntil { until } "Gern, ich habe notiert, dass wir Sie zurückrufen, spätestens {until}. Kann ich sonst noch etwas für Sie tun?"
    CallbackAlreadyPromised {} "Ihr Rückruf ist schon notiert. Wir melden uns bei Ihnen. Kann ich sonst noch etwas für Sie tun?"
    CallbackNeedsPhone {} "Ich sehe Ihre Nummer leider nicht. Unter welcher Nummer dürfen wir Sie zurückrufen?"
    TransferPossible {} "Ich kann Sie jetzt mit einem Mitarbeiter verbinden. Möchten Sie das?"
    Transferring {} "Einen Moment bitte, ich verbinde Sie."
    TransferOutOfHours {} "Gerade ist niemand zu erreichen, der Ihnen weiterhilft. Soll Sie jemand zurückrufen?"
    TransferNotPossible {} "Ich kann Sie gerade leider nicht verbinden. Ich habe notiert, dass wir Sie zurückrufen."
}

impl fmt::Debug for Sentence<'_> {
    /// What fills it may be a name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sentence({:?})", self.key())
    }
}

/// The longest that is said in a slot of that name.
#[cfg(test)]
fn sample(slot: &str) -> &'static str {
    match slot {
        "choices" => {
            "Donnerstag, den 24. September 2026 um 14 Uhr 30, Donnerstag, den 24. September 2026 um 14 Uhr 30, Donnerstag, den 24. September 2026 um 14 Uhr 30 oder Donnerstag, den 24. September 2026 um 14 Uhr 30"
        }
        "when" | "date" | "until" | "from" | "to" | "said" => "Donnerstag, den 26. November 2026 um 14 Uhr 30",
        "alternatives" => "am Donnerstag, den 26. November um 14 Uhr 30 oder am Donnerstag, den 31. Dezember um 14 Uhr 30",
        "appointments" => {
            "Donnerstag, den 26. November um 14 Uhr 30; Donnerstag, den 26. November um 14 Uhr 30; Donnerstag, den 26. November um 14 Uhr 30; Donnerstag, den 26. November um 14 Uhr 30"
        }
        "services" => "Herrenhaarschnitt, Damenhaarschnitt mit Beratung, Kinderhaarschnitt, Dauerwelle mit Pflege oder Strähnen",
        "service" => "Damenhaarschnitt mit Waschen, Föhnen und Beratung",
        "staff" => "Maria Fernández de la Cruz",
        "name" => "Frau Dr. Maria Fernández de la Cruz",
        "time" => "14 Uhr 30",
        "minutes" => "1440",
        "hours" => "dienstags bis freitags von 9 bis 18 Uhr und samstags von 9 bis 14 Uhr",
        "price" | "fee" => "1250 Euro 50",
        "benefits" => "fünfzehn Prozent Nachlass, besondere Zeiten und einen festen Ansprechpartner",
        _ => panic!("{slot} has no sample"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::lint::{Fault, faults};

    /// Done 4 of issue 4, over the whole catalogue with the longest that may fill it.
    #[test]
    fn every_sentence_can_be_spoken_and_names_a_next_step() {
        let samples = samples();
        assert_eq!(samples.len(), Key::ALL.len());
        for sentence in samples {
            let spoken = sentence.german();
            assert_eq!(faults(&spoken), [], "{:?}: {spoken}", sentence.key());
            assert!(spoken.ends_with(['.', '?']) && !spoken.contains("  "), "{spoken}");
        }
    }

    /// Whatever fills a slot, no template and no wall of text reaches the caller (incident 65).
    #[test]
    fn what_fills_a_slot_cannot_break_the_sentence() {
        let wild = "{{service_name}} \u{7} ".repeat(100);
        let spoken = Sentence::ServiceChoice { services: &wild }.german();
        assert!(!faults(&spoken).contains(&Fault::Braces) && !faults(&spoken).contains(&Fault::TooLong), "{spoken}");
        assert_eq!(Sentence::Free { when: " morgen\num 9 Uhr " }.german(), "Der Termin morgen um 9 Uhr ist frei. Soll ich ihn für Sie eintragen?");
    }

    #[test]
    fn keys_tell_their_slots_and_no_two_sentences_are_one() {
        for key in Key::ALL {
            for slot in key.slots() {
                assert!(key.german().contains(&format!("{{{slot}}}")), "{key:?} does not say its {slot}");
            }
            assert_eq!(key.german().matches('{').count(), key.slots().len(), "{key:?}");
        }
        let mut texts: Vec<_> = Key::ALL.iter().map(|key| key.german()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Key::ALL.len());
    }

    #[test]
    fn a_sentence_never_prints_what_fills_it() {
        assert_eq!(format!("{:?}", Sentence::GreetKnown { name: "Theo Brandner" }), "Sentence(GreetKnown)");
        assert_eq!(Sentence::GreetKnown { name: "x" }.key(), Key::GreetKnown);
    }
}

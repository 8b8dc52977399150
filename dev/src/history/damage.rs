//! What is broken in the history, one line per kind: its name in reports and in the truth, the incident or section of the domain reference it comes from, and what was done.
//! Not how it is done (`evidence`, `calls`, `contents`), and not how it is mended: that is the backfill's, which this room does not know. Called by the makers and the report.
use std::collections::BTreeMap;

macro_rules! damages {
    ($($variant:ident $name:literal $origin:literal $what:literal;)+) => {
        /// A kind of damage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Damage { $($variant),+ }

        impl Damage {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// In reports and in the truth.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Incident number, or section of the domain reference.
            pub const fn origin(self) -> &'static str {
                match self { $(Self::$variant => $origin),+ }
            }

            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),+ }
            }
        }
    };
}

damages! {
    // who booked, and through what
    SourceLeft "source_left" "99, 1.4" "the booking columns are empty; the old column `source` stands";
    MetadataLeft "metadata_left" "99, 1.5" "the booking columns are empty; metadata says created_via or booked_via";
    PlanWords "plan_words" "1.2 b" "the plan's words stood in the columns, which no column of ours takes";
    SuiteWords "suite_words" "1.2 c" "the later test suite's words stood in the columns";
    WordWithoutMeaning "word_without_meaning" "1.2 b" "a word of the plan that says neither who nor through what";
    BookedInNotes "booked_in_notes" "6.2" "only the text of the notes says how it was booked";
    BookedByCallOnly "booked_by_call_only" "8, 6.2" "only the call's id says that it was booked by phone";
    BookedByEventOnly "booked_by_event_only" "1.12, 6.2" "only the stored webhook says that Cal.com booked it";
    BookedByAuditLog "booked_by_audit_log" "6.2" "only the audit log names the person who booked";
    BackfilledFromCalcom "backfilled_from_calcom" "2, 6.1" "made from a call's booking by the former backfill command";
    NothingLeft "nothing_left" "99" "nothing tells who booked: unknown for ever";
    SourcesContradict "sources_contradict" "6.2" "metadata and the old source name different channels";
    MetadataTwiceEncoded "metadata_twice_encoded" "24" "metadata was JSON inside JSON: kept as text under `metadata_text`";
    // moves
    MoveInRow "move_in_row" "99" "the move's columns are empty; its modification tells all";
    MoveInPayload "move_in_payload" "99, 2.3" "no modification; Cal.com's webhook was kept in metadata";
    MoveInArchiveWords "move_in_archive_words" "2.3" "the same with the keys and words of old archives";
    MoveInNotes "move_in_notes" "6.2" "only the notes say when, and from when";
    MoveWithoutTrace "move_without_trace" "1.4" "nothing tells that it was moved at all";
    // cancellations
    CancelledInRow "cancelled_in_row" "99" "the cancellation's columns are empty; its modification tells all";
    CancelledInPayload "cancelled_in_payload" "99, 2.3" "no modification; Cal.com's webhook was kept in metadata";
    CancelledByNobody "cancelled_by_nobody" "2.3" "the kept webhook names nobody (the API's cancellations do not)";
    CancelledInNotes "cancelled_in_notes" "6.2" "only the notes say when and why";
    CancelledByCallOutcome "cancelled_by_call_outcome" "82, 6.2" "the notes say when; a call that ended in a cancellation says who";
    CancelledAtUpdate "cancelled_at_update" "6.2" "only the row's last change tells when";
    UserIdAsWord "user_id_as_word" "1.2 a" "the portal wrote a number into cancelled_by";
    StampedWithoutRow "stamped_without_row" "1.3, Q13, Q14" "the columns are filled and there is no modification";
    // calls
    ChangeWithoutCall "change_without_call" "8, 1.6" "a modification's call stands in its metadata only";
    ChangeByTimeOnly "change_by_time_only" "8, 6.2" "no call id at all; the time of the change falls into one call of the customer";
    PlaceholderCallId "placeholder_call_id" "37" "the call id that was kept is a word of the language model";
    CallLost "call_lost" "33, 85" "the call that is named was never stored";
    CallOfOtherCompany "call_of_other_company" "44" "the call that is named was stored for another company with the same caller";
    TwoCallsAtOnce "two_calls_at_once" "6.2" "another call of the same customer ran at that moment";
    TemporaryTwin "temporary_twin" "32" "the temporary row of the same call is still there";
    CallWithoutEnd "call_without_end" "85, 86" "the call never ended";
    CallWithoutCustomer "call_without_customer" "43" "the call names no customer";
    AnonymousCaller "anonymous_caller" "52" "the caller withheld the number";
    NegativeDuration "negative_duration" "96" "the call lasted less than nothing: not taken over, kept in metadata";
    BookingOnlyInCalcom "booking_only_in_calcom" "2" "the call booked, and there is no appointment";
    CallOfNoAppointment "call_of_no_appointment" "8" "the call names an appointment that is not there";
    // tenants and uids
    SharedContact "shared_contact" "44, 52" "another company has a customer of the same name, number and e-mail address";
    UidTwice "uid_twice" "7" "two appointments had one uid: the later keeps it in metadata, with the other's call";
    UidInTwoCompanies "uid_in_two_companies" "44" "the uid, event type and host are another company's";
    StaffUnlinked "staff_unlinked" "20" "no member of staff, but Cal.com's host is known";
    HostUnmapped "host_unmapped" "20" "no member of staff, and nobody knows the host";
    // names
    NameOfThirdPerson "name_of_third_person" "48" "booked in somebody else's name";
    NameMisheard "name_misheard" "50" "the name as speech recognition heard it";
    NameIsNone "name_is_none" "49" "a word that is no name";
    // rows that the schema refuses: they are reviews, with what they held
    RefusedWithoutCustomer "refused_without_customer" "43, Q8" "an appointment of a customer who is not there: refused, a review keeps it";
    RefusedWithoutAppointment "refused_without_appointment" "Q10" "a modification of an appointment that is not there: refused, a review keeps it";
}

/// How often each kind was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<Damage, u64>);

impl Tally {
    pub fn add(&mut self, damages: &[Damage]) {
        for damage in damages {
            *self.0.entry(*damage).or_default() += 1;
        }
    }

    pub fn of(&self, damage: Damage) -> u64 {
        self.0.get(&damage).copied().unwrap_or_default()
    }
}

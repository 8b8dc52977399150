//! The kinds of faults that a campaign produces, by name. Pure; `plan` says when which of them strikes, `strike` does it.

use std::time::Duration;

use super::proxy::Weather;

/// Who can be killed, paused or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Broker,
    Postgres,
    Ingress,
    Changes,
    CalcomSync,
    Calls,
    Scheduler,
}

impl Party {
    /// Those that are processes of ours.
    pub const PROCESSES: [Self; 5] = [Self::Ingress, Self::Changes, Self::CalcomSync, Self::Calls, Self::Scheduler];

    /// Processes of this party have names that begin so.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Broker => "rabbitmq",
            Self::Postgres => "postgres",
            Self::Ingress => "ingress-",
            Self::Changes => "changes-",
            Self::CalcomSync => "sync-",
            Self::Calls => "calls-",
            Self::Scheduler => "scheduler-",
        }
    }
}

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Kill,
    Pause,
    Terminate,
}

/// Between whom the weather changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Between {
    IngressAndBroker,
    WorkersAndBroker,
    WorkersAndPostgres,
    SyncAndCalcom,
    ProvidersAndIngress,
}

impl Between {
    pub const ALL: [Self; 5] = [Self::IngressAndBroker, Self::WorkersAndBroker, Self::WorkersAndPostgres, Self::SyncAndCalcom, Self::ProvidersAndIngress];
}

/// A weather without its measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cloud {
    Latency,
    Cut,
    Swallow,
    Reset,
    Blackhole,
}

impl Cloud {
    pub const ALL: [Self; 5] = [Self::Latency, Self::Cut, Self::Swallow, Self::Reset, Self::Blackhole];

    /// With a measure drawn from 0 to 99.
    pub fn weather(self, draw: u32) -> Weather {
        match self {
            Self::Latency => Weather::Latency(Duration::from_millis(u64::from(20 + 4 * draw))),
            // small enough to fall into a request, sometimes into its first bytes
            Self::Cut => Weather::CutAfter(u64::from(40 * draw)),
            Self::Swallow => Weather::SwallowReplies,
            Self::Reset => Weather::Reset,
            Self::Blackhole => Weather::Blackhole,
        }
    }
}

/// What Cal.com itself does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Calcom {
    DropAfterCommit,
    ErrorAfterCommit,
    ErrorBefore,
    HangAfter,
    HangBefore,
    Throttle,
    OldBookingAsAnswer,
    WrongSchema,
    SlowDrip,
    ReplicaLag,
    WebhooksLost,
    WebhooksDoubled,
    WebhooksReordered,
    WebhooksLate,
}

impl Calcom {
    pub const ALL: [Self; 14] = [
        Self::DropAfterCommit,
        Self::ErrorAfterCommit,
        Self::ErrorBefore,
        Self::HangAfter,
        Self::HangBefore,
        Self::Throttle,
        Self::OldBookingAsAnswer,
        Self::WrongSchema,
        Self::SlowDrip,
        Self::ReplicaLag,
        Self::WebhooksLost,
        Self::WebhooksDoubled,
        Self::WebhooksReordered,
        Self::WebhooksLate,
    ];

    /// Those that befall webhooks and reads rather than the answer of a change: they go on beside the others.
    pub const fn is_about_webhooks(self) -> bool {
        matches!(self, Self::ReplicaLag | Self::WebhooksLost | Self::WebhooksDoubled | Self::WebhooksReordered | Self::WebhooksLate)
    }
}

/// What Retell's webhooks meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retell {
    Lost,
    Doubled,
    Reordered,
    Late,
}

impl Retell {
    pub const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Reordered, Self::Late];
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Of(Party, Act),
    Link(Between, Cloud),
    FullDisk,
    Calcom(Calcom),
    Retell(Retell),
}

const LINK_NAMES: [[&str; 5]; 5] = [
    ["ingress-broker latency", "ingress-broker cut", "ingress-broker replies swallowed", "ingress-broker reset", "ingress-broker blackhole"],
    ["workers-broker latency", "workers-broker cut", "workers-broker replies swallowed", "workers-broker reset", "workers-broker blackhole"],
    ["workers-postgres latency", "workers-postgres cut", "workers-postgres replies swallowed", "workers-postgres reset", "workers-postgres blackhole"],
    ["sync-calcom latency", "sync-calcom cut", "sync-calcom replies swallowed", "sync-calcom reset", "sync-calcom blackhole"],
    ["providers-ingress latency", "providers-ingress cut", "providers-ingress replies swallowed", "providers-ingress reset", "providers-ingress blackhole"],
];

impl Fault {
    /// Every kind that exists.
    pub fn all() -> Vec<Self> {
        let servers = [Party::Broker, Party::Postgres].into_iter().flat_map(|party| [Self::Of(party, Act::Kill), Self::Of(party, Act::Pause)]);
        let processes = Party::PROCESSES.into_iter().flat_map(|party| [Act::Kill, Act::Pause, Act::Terminate].map(|act| Self::Of(party, act)));
        let links = Between::ALL.into_iter().flat_map(|between| Cloud::ALL.map(|cloud| Self::Link(between, cloud)));
        servers.chain(processes).chain(links).chain([Self::FullDisk]).chain(Calcom::ALL.map(Self::Calcom)).chain(Retell::ALL.map(Self::Retell)).collect()
    }

    /// The name in the table and in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Of(party, act) => process_fault(party, act),
            Self::Link(between, cloud) => LINK_NAMES[between as usize][cloud as usize],
            Self::FullDisk => "disk full under a spool",
            Self::Calcom(fault) => match fault {
                Calcom::DropAfterCommit => "calcom drop after commit",
                Calcom::ErrorAfterCommit => "calcom 500 after commit",
                Calcom::ErrorBefore => "calcom 503 before",
                Calcom::HangAfter => "calcom hang after commit",
                Calcom::HangBefore => "calcom hang before",
                Calcom::Throttle => "calcom 429",
                Calcom::OldBookingAsAnswer => "calcom old booking as answer",
                Calcom::WrongSchema => "calcom wrong schema",
                Calcom::SlowDrip => "calcom slow drip",
                Calcom::ReplicaLag => "calcom replica lag",
                Calcom::WebhooksLost => "calcom webhooks lost",
                Calcom::WebhooksDoubled => "calcom webhooks doubled",
                Calcom::WebhooksReordered => "calcom webhooks reordered",
                Calcom::WebhooksLate => "calcom webhooks late",
            },
            Self::Retell(fault) => match fault {
                Retell::Lost => "retell webhooks lost",
                Retell::Doubled => "retell webhooks doubled",
                Retell::Reordered => "retell webhooks reordered",
                Retell::Late => "retell webhooks late",
            },
        }
    }
}

const fn process_fault(party: Party, act: Act) -> &'static str {
    match (party, act) {
        (Party::Broker, Act::Kill) => "broker SIGKILL",
        (Party::Broker, _) => "broker SIGSTOP",
        (Party::Postgres, Act::Kill) => "postgres SIGKILL",
        (Party::Postgres, _) => "postgres SIGSTOP",
        (Party::Ingress, Act::Kill) => "ingress SIGKILL",
        (Party::Ingress, Act::Pause) => "ingress SIGSTOP",
        (Party::Ingress, Act::Terminate) => "ingress SIGTERM",
        (Party::Changes, Act::Kill) => "changes SIGKILL",
        (Party::Changes, Act::Pause) => "changes SIGSTOP",
        (Party::Changes, Act::Terminate) => "changes SIGTERM",
        (Party::CalcomSync, Act::Kill) => "calcom-sync SIGKILL",
        (Party::CalcomSync, Act::Pause) => "calcom-sync SIGSTOP",
        (Party::CalcomSync, Act::Terminate) => "calcom-sync SIGTERM",
        (Party::Calls, Act::Kill) => "calls SIGKILL",
        (Party::Calls, Act::Pause) => "calls SIGSTOP",
        (Party::Calls, Act::Terminate) => "calls SIGTERM",
        (Party::Scheduler, Act::Kill) => "scheduler SIGKILL",
        (Party::Scheduler, Act::Pause) => "scheduler SIGSTOP",
        (Party::Scheduler, Act::Terminate) => "scheduler SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_fault_has_a_name_of_its_own() {
        let all = Fault::all();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(all.len(), 4 + 15 + 25 + 1 + 14 + 4);
    }
}

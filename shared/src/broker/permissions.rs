//! Who may do what in the broker: one user per kind of process, each with exactly the exchanges and queues it needs.
//!
//! Made from the topology table; `deploy/rabbitmq/definitions.json` carries the same patterns, and a test holds the two together. Nothing calls it at run
//! time: rights are the broker's business.

use super::topology::{self, EVENTS, PROBE, REPLY, WORK};

/// An ingress process' own reply queue: the prefix and 32 hex digits.
const REPLY_QUEUE_PATTERN: &str = r"frontdesk\.reply\.[0-9a-f]{32}";
const NOTHING: &str = "^$";

/// The three patterns that RabbitMQ keeps per user and vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub user: &'static str,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// Every user.
#[must_use]
pub fn permissions() -> [Permissions; 4] {
    let names: Vec<String> = topology::queues().iter().map(|row| row.name.to_string()).collect();
    let tiers: Vec<String> = topology::queues().iter().filter(|row| row.tier.is_some()).map(|row| row.name.to_string()).collect();
    let consumed = names.iter().filter(|name| !tiers.contains(name) && name.as_str() != PROBE).map(|name| literal(name));
    let sent_by_workers = [WORK, REPLY, PROBE].map(literal).into_iter().chain(tiers.iter().map(|name| literal(name)));
    [
        Permissions {
            user: "ingress",
            configure: any_of([REPLY_QUEUE_PATTERN.to_owned()]),
            // binding its reply queue is a write to the queue and a read of the exchange
            write: any_of([literal(EVENTS), literal(PROBE), REPLY_QUEUE_PATTERN.to_owned()]),
            read: any_of([literal(REPLY), REPLY_QUEUE_PATTERN.to_owned()]),
        },
        Permissions { user: "worker", configure: NOTHING.to_owned(), write: any_of(sent_by_workers), read: any_of(consumed) },
        Permissions { user: "monitor", configure: NOTHING.to_owned(), write: NOTHING.to_owned(), read: NOTHING.to_owned() },
        Permissions { user: "admin", configure: ".*".to_owned(), write: ".*".to_owned(), read: ".*".to_owned() },
    ]
}

fn literal(name: &str) -> String {
    name.replace('.', r"\.")
}

fn any_of(patterns: impl IntoIterator<Item = String>) -> String {
    format!("^({})$", patterns.into_iter().collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn shipped() -> Value {
        serde_json::from_str(include_str!("../../../deploy/rabbitmq/definitions.json")).unwrap()
    }

    #[test]
    fn the_shipped_definitions_grant_exactly_what_the_table_needs() {
        let shipped = shipped();
        let rows = shipped["permissions"].as_array().unwrap();
        assert_eq!(rows.len(), permissions().len());
        for expected in permissions() {
            let row = rows.iter().find(|row| row["user"] == expected.user).unwrap_or_else(|| panic!("no permissions for {}", expected.user));
            assert_eq!(row["vhost"], "frontdesk");
            let found = ["configure", "write", "read"].map(|right| row[right].as_str().unwrap_or_default().to_owned());
            assert_eq!(found, [expected.configure, expected.write, expected.read], "{}", expected.user);
        }
    }

    #[test]
    fn the_shipped_definitions_hold_no_password_and_no_queue() {
        let shipped = shipped();
        for user in shipped["users"].as_array().unwrap() {
            assert_eq!(user["password_hash"], "", "{}", user["name"]);
        }
        assert!(shipped.get("queues").is_none() && shipped.get("exchanges").is_none(), "the topology comes from `frontdesk topology apply`");
    }
}

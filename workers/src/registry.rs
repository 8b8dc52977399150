//! The one list: role → what it runs. Nothing else in the program names a role's handler.

use std::sync::Arc;

use shared::envelope::Role;
use tokio::sync::Notify;

use crate::appointment_changes::AppointmentChanges;
use crate::backfill::{self, Backfill};
use crate::backlogs;
use crate::booking::Booking;
use crate::calcom_sync::{self, Doorbell};
use crate::calls::Calls;
use crate::cancellation::Cancellation;
use crate::desk::Desk;
use crate::reschedule::Reschedule;
use crate::runtime::Roles;
use crate::scheduler;

/// The roles of this program, in the order of the architecture's table.
pub const ROLES: [Role; 8] = [Role::Booking, Role::Reschedule, Role::Cancellation, Role::CalcomSync, Role::Desk, Role::Calls, Role::Backfill, Role::Scheduler];

/// Starts a role. A handler is made once per lane: `roles.consume(booking::Booking::new)` with `fn new(context: Context) -> Self`.
pub fn attach(role: Role, roles: &mut Roles<'_>) {
    match role {
        Role::Booking => roles.consume(|context| AppointmentChanges::new(context.clone(), Booking::new(context))),
        Role::Reschedule => roles.consume(|context| AppointmentChanges::new(context.clone(), Reschedule::new(context))),
        Role::Cancellation => roles.consume(|context| AppointmentChanges::new(context.clone(), Cancellation::new(context.clock))),
        Role::Desk => roles.consume(Desk::new),
        Role::CalcomSync => {
            let bell = Arc::new(Notify::new());
            roles.consume(|_| Doorbell::new(Arc::clone(&bell)));
            roles.background("intent dispatcher", |context| calcom_sync::run(context, bell));
            roles.background("sweeps", calcom_sync::sweep::run);
        }
        Role::Calls => {
            roles.consume(Calls::new);
            roles.move_dead_letters();
            roles.background("backlog gauges", backlogs::run);
        }
        Role::Scheduler => roles.background("scheduler", scheduler::run),
        Role::Backfill => {
            roles.consume(|_| Backfill);
            roles.background("backfill feeder", backfill::feed::run);
        }
    }
}

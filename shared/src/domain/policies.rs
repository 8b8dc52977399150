//! What a company allows and what it costs: who may cancel or move until when, how often, for which fee; whom it treats as a VIP; how soon it calls back.
//!
//! Rules are data (table `policies`, one JSON object per level and type); only their meaning stands here. Counts are the caller's and live (incident 76: stale
//! statistics decided). Source: domain reference 4.1 to 4.3, 4.8, 4.10. Called by the functions that check, book, move, cancel and call back, always the same.

mod call_limits;
mod callbacks;
mod changes;
mod fees;
mod notice;
mod resolution;
mod rules;
mod vip;

pub use call_limits::{CallLimits, Counts, Limit, LimitClass};
pub use callbacks::Urgency;
pub use changes::{Allowed, Change, ChangeFacts, Decision, Denial, DenialReason, decide};
pub use fees::{DEFAULT_TIERS, fee_minor};
pub use notice::{MINIMUM_NOTICE_MINUTES, minimum_notice_minutes};
pub use resolution::{Effective, Level, resolve};
pub use rules::{Fee, Rules, RulesError, Tier};
pub use vip::{Loyalty, VipTier};

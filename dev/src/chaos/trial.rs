//! What a campaign tries: the product as it is; the product with one protection switched off (then the auditor is on trial); or the control of that: load, plan of faults
//! and provocations are the same, and the protection is on. Only both together show that the absence was found and not the provocation. Pure.

use shared::protection::Protection;

/// See above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    Ordinary,
    Broken(Protection),
    Control(Protection),
}

impl Trial {
    /// The protection that is off in the product's processes.
    #[must_use]
    pub const fn broken(self) -> Option<Protection> {
        match self {
            Self::Broken(protection) => Some(protection),
            Self::Ordinary | Self::Control(_) => None,
        }
    }

    /// The protection whose absence load and faults are to bring to light.
    #[must_use]
    pub const fn provoked(self) -> Option<Protection> {
        match self {
            Self::Broken(protection) | Self::Control(protection) => Some(protection),
            Self::Ordinary => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{plan, provocation::Provocation, schedule};
    use super::*;

    #[test]
    fn a_control_differs_from_its_break_in_the_protection_alone() {
        let length = Duration::from_secs(60);
        for protection in Protection::ALL {
            let (broken, control) = (Trial::Broken(protection), Trial::Control(protection));
            assert_eq!((broken.broken(), control.broken()), (Some(protection), None));
            let [mut one, other] = [broken, control].map(Provocation::of);
            one.sql = "";
            assert_eq!(one, other, "{protection}");
            assert_eq!(schedule::schedule(3, length, 1.0, &one), schedule::schedule(3, length, 1.0, &other));
            assert_eq!(plan::plan(3, length, broken.provoked(), true), plan::plan(3, length, control.provoked(), true));
        }
    }
}

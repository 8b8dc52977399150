//! How many functions a call and a company may use: against a model that loops, not against callers (issue 4; domain reference 4.10). A refused one still hears a sentence.
//!
//! Pure: the counts come from `function_calls`. Never keyed by an address: all of Retell comes from a few of them (retell reference 1.5).

/// Which limit of the call a function counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitClass {
    Function,
    /// Preferences, benefits, transfers.
    Vip,
}

/// How many are allowed in a minute. A company may be given others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    pub call_functions_per_minute: u32,
    pub call_vip_functions_per_minute: u32,
    /// Of all its calls, of both classes.
    pub company_functions_per_minute: u32,
}

impl Default for CallLimits {
    /// The defaults of the columns of `companies`.
    fn default() -> Self {
        Self { call_functions_per_minute: 60, call_vip_functions_per_minute: 30, company_functions_per_minute: 600 }
    }
}

/// What was answered before this one; a minute is the last sixty seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the same call, of the function's class.
    pub of_call: u32,
    pub of_company: u32,
}

/// Which limit is reached. Names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    Call,
    Company,
}

impl Limit {
    pub const ALL: [Self; 2] = [Self::Call, Self::Company];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Company => "company",
        }
    }
}

impl CallLimits {
    /// The limit that one more function would exceed: the N-th is answered, the one after it is not.
    #[must_use]
    pub fn reached(&self, class: LimitClass, before: &Counts) -> Option<Limit> {
        let of_call = match class {
            LimitClass::Function => self.call_functions_per_minute,
            LimitClass::Vip => self.call_vip_functions_per_minute,
        };
        [(Limit::Call, before.of_call, of_call), (Limit::Company, before.of_company, self.company_functions_per_minute)]
            .into_iter()
            .find(|(_, count, limit)| count >= limit)
            .map(|(reached, ..)| reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Done 7 of issue 4: exact, not ±1.
    #[test]
    fn the_last_allowed_is_answered_and_the_next_is_not() {
        let limits = CallLimits::default();
        let none = Counts::default();
        let table = [
            (LimitClass::Function, Counts { of_call: 59, ..none }, None),
            (LimitClass::Function, Counts { of_call: 60, ..none }, Some(Limit::Call)),
            (LimitClass::Vip, Counts { of_call: 29, ..none }, None),
            (LimitClass::Vip, Counts { of_call: 30, ..none }, Some(Limit::Call)),
            (LimitClass::Function, Counts { of_company: 599, ..none }, None),
            (LimitClass::Function, Counts { of_company: 600, ..none }, Some(Limit::Company)),
            (LimitClass::Vip, Counts { of_call: 29, of_company: 600 }, Some(Limit::Company)),
            (LimitClass::Function, none, None),
        ];
        for (class, before, expected) in table {
            assert_eq!(limits.reached(class, &before), expected, "{class:?} {before:?}");
        }
        let closed = CallLimits { call_functions_per_minute: 0, ..limits };
        assert_eq!((closed.reached(LimitClass::Function, &none), closed.reached(LimitClass::Vip, &none)), (Some(Limit::Call), None));
        assert_eq!(Limit::ALL.map(Limit::name), ["call", "company"]);
    }
}

//! How many functions a call and a company may use: against a model that loops, not against callers (domain reference 4.10). A refused one still hears a sentence.
//!
//! Pure: the counts come from `function_calls`. Never keyed by an address: all of Retell comes from a few of them (retell reference 1.5).

/// Which limit of the company a function counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitClass {
    Function,
    /// Preferences, benefits, urgent transfer.
    Vip,
}

/// How many are allowed. A company may be given others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    pub functions_per_minute: u32,
    pub vip_functions_per_minute: u32,
    pub per_call: u32,
    pub per_call_and_minute: u32,
    pub same_function_per_call: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { functions_per_minute: 60, vip_functions_per_minute: 30, per_call: 50, per_call_and_minute: 20, same_function_per_call: 10 }
    }
}

/// What was answered before this one; a minute is the last sixty seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The company's, of the function's class.
    pub company_in_the_minute: u32,
    pub call: u32,
    pub call_in_the_minute: u32,
    /// The same function in the same call.
    pub same_function: u32,
}

/// Which limit is reached. Names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    Company,
    Call,
    CallMinute,
    SameFunction,
}

impl Limit {
    pub const ALL: [Self; 4] = [Self::Company, Self::Call, Self::CallMinute, Self::SameFunction];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Company => "company",
            Self::Call => "call",
            Self::CallMinute => "call_minute",
            Self::SameFunction => "same_function",
        }
    }
}

impl CallLimits {
    /// The limit that one more function would exceed: the N-th is answered, the one after it is not.
    #[must_use]
    pub fn reached(&self, class: LimitClass, before: &Counts) -> Option<Limit> {
        let of_company = match class {
            LimitClass::Function => self.functions_per_minute,
            LimitClass::Vip => self.vip_functions_per_minute,
        };
        [
            (Limit::Company, before.company_in_the_minute, of_company),
            (Limit::Call, before.call, self.per_call),
            (Limit::CallMinute, before.call_in_the_minute, self.per_call_and_minute),
            (Limit::SameFunction, before.same_function, self.same_function_per_call),
        ]
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
            (LimitClass::Function, Counts { company_in_the_minute: 59, ..none }, None),
            (LimitClass::Function, Counts { company_in_the_minute: 60, ..none }, Some(Limit::Company)),
            (LimitClass::Vip, Counts { company_in_the_minute: 29, ..none }, None),
            (LimitClass::Vip, Counts { company_in_the_minute: 30, ..none }, Some(Limit::Company)),
            (LimitClass::Vip, Counts { call: 49, ..none }, None),
            (LimitClass::Vip, Counts { call: 50, ..none }, Some(Limit::Call)),
            (LimitClass::Function, Counts { call_in_the_minute: 19, ..none }, None),
            (LimitClass::Function, Counts { call_in_the_minute: 20, ..none }, Some(Limit::CallMinute)),
            (LimitClass::Function, Counts { same_function: 9, ..none }, None),
            (LimitClass::Function, Counts { same_function: 10, ..none }, Some(Limit::SameFunction)),
            (LimitClass::Function, none, None),
        ];
        for (class, before, expected) in table {
            assert_eq!(limits.reached(class, &before), expected, "{class:?} {before:?}");
        }
        let closed = CallLimits { functions_per_minute: 0, ..limits };
        assert_eq!((closed.reached(LimitClass::Function, &none), closed.reached(LimitClass::Vip, &none)), (Some(Limit::Company), None));
        assert_eq!(Limit::ALL.map(Limit::name), ["company", "call", "call_minute", "same_function"]);
    }
}

//! Amounts as people say them: "10 Euro", "12 Euro 50". From the smallest unit of a currency; nothing is rounded here. Called by whoever tells a caller a fee or a price.

/// An amount as a part of a German sentence; a currency that is not known by name is said by its code.
#[must_use]
pub fn spoken(minor: i64, currency: &str) -> String {
    let (name, small) = match currency {
        "EUR" => ("Euro", "Cent"),
        "CHF" => ("Franken", "Rappen"),
        "USD" => ("Dollar", "Cent"),
        "GBP" => ("Pfund", "Pence"),
        other => (other, "Hundertstel"),
    };
    let minor = minor.max(0);
    match (minor / 100, minor % 100) {
        (0, rest @ 1..) => format!("{rest} {small}"),
        (whole, 0) => format!("{} {name}", grouped(whole)),
        (whole, rest) => format!("{} {name} {rest:02}", grouped(whole)),
    }
}

/// Five digits in a row are a number that nobody follows (`texts::lint`).
fn grouped(whole: i64) -> String {
    match whole {
        0..10_000 => whole.to_string(),
        _ => format!("{} Tausend {}", whole / 1_000, whole % 1_000).trim_end_matches(" 0").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::lint::{Fault, faults};

    #[test]
    fn amounts_are_said_exactly() {
        let table = [
            (0, "EUR", "0 Euro"),
            (5, "EUR", "5 Cent"),
            (100, "EUR", "1 Euro"),
            (1_000, "EUR", "10 Euro"),
            (1_250, "EUR", "12 Euro 50"),
            (1_205, "EUR", "12 Euro 05"),
            (999_900, "EUR", "9999 Euro"),
            (1_000_000, "EUR", "10 Tausend Euro"),
            (1_025_050, "EUR", "10 Tausend 250 Euro 50"),
            (4_200, "CHF", "42 Franken"),
            (50, "CHF", "50 Rappen"),
            (700, "SEK", "7 SEK"),
            (-1, "EUR", "0 Euro"),
        ];
        for (minor, currency, expected) in table {
            let said = spoken(minor, currency);
            assert_eq!(said, expected);
            assert_eq!(faults(&said), [Fault::NoNextStep], "{said}");
        }
    }
}

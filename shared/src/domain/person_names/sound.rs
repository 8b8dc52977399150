//! The sound of a German word as digits: Cologne phonetics (Kölner Phonetik, H. J. Postel 1969), by its published table.
//!
//! Own code, because the table is all there is to it: the maintained crate for it (`rphonetic`) brings a dozen other algorithms, six crates and a licence that
//! `deny.toml` does not know. Called by `likeness`.

/// The code of a word in folded letters (`letters::words`). Letters of other scripts have no sound here; a word of them has the empty code.
pub(super) fn sound(word: &str) -> String {
    let letters: Vec<char> = word.chars().filter(char::is_ascii_lowercase).collect();
    let mut code = String::with_capacity(letters.len());
    let mut last = None;
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map_or(' ', |index| letters[index]);
        let after = letters.get(index + 1).copied().unwrap_or(' ');
        for digit in digits(*letter, before, after).chars() {
            // neighbours of one sound are one; vowels count at the beginning only, but part two equal sounds
            if last != Some(digit) && (digit != '0' || code.is_empty()) {
                code.push(digit);
            }
            last = Some(digit);
        }
    }
    code
}

/// The table. `before` and `after` are blanks at the ends of the word.
fn digits(letter: char, before: char, after: char) -> &'static str {
    match letter {
        'a' | 'e' | 'i' | 'j' | 'o' | 'u' | 'y' => "0",
        'b' => "1",
        'p' => {
            if after == 'h' {
                "3"
            } else {
                "1"
            }
        }
        'd' | 't' => {
            if "csz".contains(after) {
                "8"
            } else {
                "2"
            }
        }
        'f' | 'v' | 'w' => "3",
        'g' | 'k' | 'q' => "4",
        'c' => {
            let hard = if before == ' ' { "ahkloqrux".contains(after) } else { !"sz".contains(before) && "ahkoqux".contains(after) };
            if hard { "4" } else { "8" }
        }
        'x' => {
            if "ckq".contains(before) {
                "8"
            } else {
                "48"
            }
        }
        'l' => "5",
        'm' | 'n' => "6",
        'r' => "7",
        's' | 'z' => "8",
        // h has no sound
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::person_names::letters;

    fn code(text: &str) -> String {
        sound(&letters::words(text).concat())
    }

    /// The published examples (the algorithm's article, and the vectors of Apache Commons Codec).
    #[test]
    fn words_have_the_published_codes() {
        let table = [
            ("Müller", "657"),
            ("Müller-Lüdenscheidt", "65752682"),
            ("Breschnew", "17863"),
            ("Wikipedia", "3412"),
            ("schmidt", "862"),
            ("schneider", "8627"),
            ("fischer", "387"),
            ("weber", "317"),
            ("wagner", "3467"),
            ("becker", "147"),
            ("hoffmann", "0366"),
            ("schäfer", "837"),
            ("peter", "127"),
            ("pharma", "376"),
            ("mönchengladbach", "664645214"),
            ("deutsch", "28"),
            ("deutz", "28"),
            ("hamburg", "06174"),
            ("hannover", "0637"),
            ("christstollen", "478256"),
            ("Xanthippe", "48621"),
            ("Zacharias", "8478"),
            ("Holzbau", "0581"),
            ("matsch", "68"),
            ("matz", "68"),
            ("Arbeitsamt", "071862"),
            ("Eberhard", "01772"),
            ("Eberhardt", "01772"),
            ("Celsius", "8588"),
            ("Ace", "08"),
            ("heithabu", "021"),
            ("Mülhler", "657"),
            ("Aabjoe", "01"),
            ("Aaclan", "0856"),
            ("Aychlmajr", "04567"),
            ("bergisch-gladbach", "174845214"),
            ("Test test", "28282"),
        ];
        for (word, expected) in table {
            assert_eq!(code(word), expected, "{word}");
        }
        for word in ["Meier", "Maier", "Mair", "Meyer", "Meyr", "Mejer", "Major"] {
            assert_eq!(code(word), "67", "{word}");
        }
        for word in ["mella", "milah", "moulla", "mellah", "muehle", "mule"] {
            assert_eq!(code(word), "65", "{word}");
        }
    }

    /// Each row of the table, with its neighbours.
    #[test]
    fn each_letter_sounds_as_its_neighbours_let_it() {
        let table = [
            ("a e i o u j y", "0"),
            ("h", ""),
            ("ha", "0"),
            ("b", "1"),
            ("p", "1"),
            ("ph", "3"),
            ("d", "2"),
            ("t", "2"),
            ("dc", "8"),
            ("ts", "8"),
            ("tz", "8"),
            ("f v w", "3"),
            ("g k q", "4"),
            ("x", "48"),
            ("ax", "048"),
            ("cx", "48"),
            ("kx", "48"),
            ("qx", "48"),
            ("l", "5"),
            ("m n", "6"),
            ("r", "7"),
            ("s z ß", "8"),
            ("Иван", ""),
            ("", ""),
        ];
        for (word, expected) in table {
            assert_eq!(code(word), expected, "{word}");
        }
        // c at the beginning, within, and behind s or z
        for after in "ahkloqrux".chars() {
            assert!(code(&format!("c{after}")).starts_with('4'), "c{after}");
        }
        assert_eq!((code("ncx"), code("scx")), ("648".to_owned(), "8".to_owned()));
        for after in "ahkoqu".chars() {
            assert!(code(&format!("nc{after}")).starts_with("64"), "nc{after}");
            // the sound of the c is lost in that of the s before it
            assert_eq!(code(&format!("sc{after}")), code(&format!("s{after}")), "sc{after}");
            assert_eq!(code(&format!("zc{after}")), code(&format!("z{after}")), "zc{after}");
        }
        for after in "eilr".chars() {
            assert!(code(&format!("nc{after}")).starts_with("68"), "nc{after}");
        }
        for after in "ei".chars() {
            assert_eq!(code(&format!("c{after}")), "8", "c{after}");
        }
        assert_eq!(code("c"), "8");
    }
}

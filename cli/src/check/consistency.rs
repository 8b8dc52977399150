//! `frontdesk check consistency`: what is wrong with the rows of the companies, where, and what to do. The same checks as the scheduler's job; the operator's role
//! sees one company at a time, as everybody does.
//!
//! Rows are told by their short numbers, never by names. Nothing is changed; `--record` keeps the run.

use clap::Args;
use serde_json::{Value, json};
use shared::domain::consistency::{Score, Severity};
use shared::store::companies;
use shared::store::consistency::{self, AskedBy, Check, Checked, FIRST_ROWS, FIRST_ROWS_MAX, Report, SCORES, Subject};
use shared::store::tx::CompanyTx;
use uuid::Uuid;

use crate::table::table;
use crate::{CliError, Outcome, Session, company};

/// Check the rows of companies: audit columns, history, links; exit code 1 if something critical is wrong.
#[derive(Args, Debug)]
#[command(after_help = "Example: frontdesk check consistency --company \"Friseur Müller\"\n\n\
                        Exit code 1: a check of severity critical found rows, or did not end in time. Warnings are told and do not count.")]
pub struct Consistency {
    /// One company, by name or id; without it all of them
    #[arg(long)]
    company: Option<String>,
    /// How many of the rows that are wrong are named, of each check and company
    #[arg(long, default_value_t = FIRST_ROWS, value_parser = clap::value_parser!(i32).range(1..=i64::from(FIRST_ROWS_MAX)))]
    rows: i32,
    /// Keep the run in the table check_runs, as the daily one is kept
    #[arg(long)]
    record: bool,
}

/// A company's report, with its name.
struct Examined {
    name: String,
    report: Report,
}

impl Consistency {
    pub async fn run(self, session: &mut Session) -> Result<Outcome, CliError> {
        let pool = session.database().await?;
        let wanted = match &self.company {
            Some(name) => Some(company::find(&pool, name).await?),
            None => None,
        };
        let mut examined = Vec::new();
        let run_id = Uuid::now_v7();
        for (id, name) in companies::list(&pool).await? {
            if wanted.is_some_and(|wanted| wanted != Some(id)) {
                continue;
            }
            let report = consistency::examine(&pool, id, self.rows).await?;
            if self.record {
                let mut tx = CompanyTx::begin(&pool, Some(id), &[]).await?;
                consistency::record(&mut tx, &report, run_id, AskedBy::Operator).await?;
                tx.commit().await?;
            }
            examined.push(Examined { name, report });
        }
        if examined.is_empty() && self.company.is_some() {
            session.answer(&json!({"error": "not_found"}), |_| "There is no such company: see `frontdesk company list`.".to_owned())?;
            return Ok(Outcome::Negative);
        }
        let good = examined.iter().flat_map(|one| &one.report.checks).all(|checked| !is_bad(checked));
        let colours = session.colours();
        session.answer(&as_json(good, &examined), |_| as_text(good, &examined, colours))?;
        Ok(Outcome::of(good))
    }
}

/// Critical, and not known to be clean.
fn is_bad(checked: &Checked) -> bool {
    checked.check.severity == Severity::Critical && !checked.is_clean()
}

/// Of all companies together.
struct Total {
    check: &'static Check,
    examined: i64,
    violations: i64,
    unfinished: usize,
}

fn totals(examined: &[Examined]) -> Vec<Total> {
    let of = |check: &'static Check| {
        let all = || examined.iter().flat_map(|one| &one.report.checks).filter(move |checked| std::ptr::eq(checked.check, check));
        let violations = || all().filter_map(|checked| checked.found.as_ref()).map(|found| found.violations);
        // what all companies share is found in each of them
        let (examined, violations) = if check.subject == Subject::Schema {
            (all().map(|checked| checked.examined).max().unwrap_or_default(), violations().max().unwrap_or_default())
        } else {
            (all().map(|checked| checked.examined).sum(), violations().sum())
        };
        Total { check, examined, violations, unfinished: all().filter(|checked| checked.found.is_none()).count() }
    };
    consistency::all().map(of).collect()
}

/// `None` if one of them was not counted in time.
fn total_score(examined: &[Examined], index: usize) -> Option<Score> {
    examined.iter().try_fold(Score::default(), |sum, one| one.report.scores[index].map(|score| sum + score))
}

fn score_json(score: Option<Score>) -> Value {
    score.map_or(Value::Null, |score| json!({ "good": score.good, "of": score.of, "ratio": score.ratio() }))
}

fn as_json(good: bool, examined: &[Examined]) -> Value {
    let checks: Vec<_> = totals(examined)
        .iter()
        .map(|total| {
            json!({
                "check": total.check.name, "query": total.check.query, "severity": total.check.severity.literal(), "owner": total.check.owner.literal(),
                "examined": total.examined, "violations": total.violations, "unfinished": total.unfinished,
                "finds": total.check.finds, "remedy": total.check.remedy, "held_by": total.check.guards,
            })
        })
        .collect();
    let scores = |of: &dyn Fn(usize) -> Option<Score>| {
        SCORES.iter().enumerate().map(|(index, name)| ((*name).to_owned(), score_json(of(index)))).collect::<serde_json::Map<_, _>>()
    };
    let companies: Vec<_> = examined
        .iter()
        .map(|one| {
            let report = &one.report;
            let found: Vec<_> = report
                .checks
                .iter()
                .filter(|checked| !checked.is_clean())
                .map(|checked| match &checked.found {
                    Some(found) => json!({ "check": checked.check.name, "violations": found.violations, "first": found.first }),
                    None => json!({ "check": checked.check.name, "unfinished": true }),
                })
                .collect();
            let columns: Vec<_> = report
                .columns
                .iter()
                .map(|filled| {
                    let (column, cells) = (filled.column, filled.cells);
                    json!({ "column": column.name, "applies_to": column.applies.words(), "filled": cells.good, "applicable": cells.of, "unknown": filled.unknown })
                })
                .collect();
            json!({ "company": one.name, "id": report.company_id, "found": found, "columns": columns, "scores": scores(&|index| report.scores[index]) })
        })
        .collect();
    json!({ "ok": good, "checks": checks, "scores": scores(&|index| total_score(examined, index)), "companies": companies })
}

const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const GREEN: &str = "\u{1b}[32m";
const PLAIN: &str = "\u{1b}[0m";

fn as_text(good: bool, examined: &[Examined], colours: bool) -> String {
    let totals = totals(examined);
    let rows = totals.iter().map(|total| {
        let found = if total.unfinished > 0 { format!("{}, {} too long", total.violations, total.unfinished) } else { total.violations.to_string() };
        let check = total.check;
        vec![
            check.name.to_owned(),
            check.query.unwrap_or("-").to_owned(),
            check.severity.literal().to_owned(),
            check.owner.literal().to_owned(),
            total.examined.to_string(),
            found,
        ]
    });
    let drawn = table(&["check", "query", "severity", "owner", "rows", "wrong"], rows, "");
    let mut lines: Vec<String> = Vec::new();
    for (index, line) in drawn.lines().enumerate() {
        let colour = index.checked_sub(1).and_then(|index| totals.get(index)).map(|total| match total.check.severity {
            _ if total.violations == 0 && total.unfinished == 0 => GREEN,
            Severity::Critical => RED,
            _ => YELLOW,
        });
        lines.push(colour.filter(|_| colours).map_or_else(|| line.to_owned(), |colour| format!("{colour}{line}{PLAIN}")));
    }
    for total in totals.iter().filter(|total| total.violations > 0 || total.unfinished > 0) {
        lines.extend(findings(total.check, examined));
    }
    lines.push(String::new());
    lines.extend(scores(examined));
    let companies = examined.len();
    let verdict = if good { "Nothing critical is wrong" } else { "Something critical is wrong" };
    lines.push(format!("\n{verdict}: {} checks over {companies} {}.", totals.len(), if companies == 1 { "company" } else { "companies" }));
    lines.join("\n")
}

/// What a check found, company by company, and what to do.
fn findings(check: &Check, examined: &[Examined]) -> Vec<String> {
    let mut lines = vec![format!("\n{}: {}.", check.name, check.finds)];
    for one in examined {
        let Some(checked) = one.report.checks.iter().find(|checked| std::ptr::eq(checked.check, check) && !checked.is_clean()) else { continue };
        lines.push(match &checked.found {
            None => format!("  {}: took too long", one.name),
            Some(found) => {
                let first = i64::try_from(found.first.len()).unwrap_or(i64::MAX);
                let more = if found.violations > first { format!(" and {} more (--rows)", found.violations - first) } else { String::new() };
                format!("  {}: {} of {}: {}{more}", one.name, found.violations, checked.examined, found.first.join(", "))
            }
        });
    }
    lines.push(format!("  What to do: {}.", check.remedy));
    lines
}

fn scores(examined: &[Examined]) -> Vec<String> {
    let told = |score: Option<Score>| score.map_or_else(|| "took too long".to_owned(), |score| format!("{} ({} of {})", score.percent(), score.good, score.of));
    let all = std::iter::once(("all", std::array::from_fn(|index| total_score(examined, index)))).filter(|_| examined.len() != 1);
    let rows = examined.iter().map(|one| (one.name.as_str(), one.report.scores)).chain(all);
    let rows = rows.map(|(name, scores): (_, [Option<Score>; 3])| std::iter::once(name.to_owned()).chain(scores.map(told)).collect());
    let mut lines: Vec<String> = table(&["company", SCORES[0], SCORES[1], "audit completeness"], rows, "").lines().map(str::to_owned).collect();
    let lacking = examined.iter().flat_map(|one| {
        one.report.columns.iter().filter(|filled| !filled.cells.is_full() || filled.unknown > 0).map(|filled| {
            let (column, cells) = (filled.column, filled.cells);
            vec![
                one.name.clone(),
                column.name.to_owned(),
                format!("{} ({} of {})", cells.percent(), cells.good, cells.of),
                filled.unknown.to_string(),
                column.applies.words().to_owned(),
            ]
        })
    });
    let lacking = table(&["company", "column", "filled", "unknown", "applies to"], lacking, "");
    if !lacking.is_empty() {
        lines.push(String::new());
        lines.extend(lacking.lines().map(str::to_owned));
    }
    lines
}

#[cfg(test)]
mod tests {
    use shared::domain::consistency::COLUMNS;
    use shared::store::consistency::{Filled, Found};

    use super::*;

    /// A company in which these checks found so many rows.
    fn company(name: &str, wrong: &[(&str, i64)]) -> Examined {
        let found = |check: &Check| {
            let violations = wrong.iter().find(|(name, _)| *name == check.name).map_or(0, |(_, violations)| *violations);
            Found { violations, first: (1..=violations.min(5)).map(|number| format!("#{number}")).collect() }
        };
        let checks = consistency::all().map(|check| Checked { check, examined: 120, found: Some(found(check)) }).collect();
        let columns = COLUMNS.map(|column| Filled { column, cells: Score::new(4, 4), unknown: 0 }).to_vec();
        Examined {
            name: name.to_owned(),
            report: Report { company_id: Uuid::nil(), checks, columns, scores: [Some(Score::new(52, 52)), Some(Score::new(119, 120)), Some(Score::new(7, 7))] },
        }
    }

    fn told(examined: &[Examined]) -> (bool, String) {
        let good = examined.iter().flat_map(|one| &one.report.checks).all(|checked| !is_bad(checked));
        (good, as_text(good, examined, false))
    }

    #[test]
    fn in_order_every_check_is_listed_and_nothing_is_explained() {
        let (good, text) = told(&[company("Friseur Müller", &[])]);
        assert!(good && text.contains("Nothing critical is wrong") && !text.contains("What to do"), "{text}");
        for check in consistency::all() {
            assert!(text.contains(check.name), "{} is missing in\n{text}", check.name);
        }
        assert!(!text.contains("applies to"), "full columns are not listed:\n{text}");
    }

    #[test]
    fn what_is_wrong_is_told_company_by_company_with_numbers_and_a_remedy() {
        let (good, text) = told(&[company("A", &[("created_by_missing", 7)]), company("B", &[]), company("C", &[("created_by_missing", 1)])]);
        assert!(!good, "{text}");
        assert!(text.contains("  A: 7 of 120: #1, #2, #3, #4, #5 and 2 more (--rows)"), "{text}");
        assert!(text.contains("  C: 1 of 120: #1\n") && !text.contains("  B: "), "{text}");
        assert!(text.contains("What to do: fill created_by"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("created_by_missing") && line.ends_with("360   8")), "{text}");
        assert!(text.contains("all") && text.contains("99.16 % (357 of 360)"), "{text}");
    }

    #[test]
    fn a_warning_is_told_and_does_not_count() {
        let (good, text) = told(&[company("A", &[("call_name_unexplained", 2)])]);
        assert!(good && text.contains("call_name_unexplained: "), "{text}");
    }

    #[test]
    fn a_critical_check_that_took_too_long_is_not_taken_for_good() {
        let mut one = company("A", &[]);
        one.report.checks[0].found = None;
        one.report.scores[1] = None;
        let (good, text) = told(&[one]);
        assert!(!good && text.contains("A: took too long") && text.contains("0, 1 too long"), "{text}");
    }

    #[test]
    fn a_missing_constraint_is_one_however_many_companies_there_are() {
        let examined = [company("A", &[("constraint_missing", 1)]), company("B", &[("constraint_missing", 1)])];
        let total = totals(&examined).into_iter().find(|total| total.check.name == "constraint_missing").unwrap();
        assert_eq!((total.violations, total.examined), (1, 120));
    }

    #[test]
    fn a_column_that_is_not_full_says_to_what_it_applies() {
        let mut one = company("A", &[]);
        one.report.columns[9].cells = Score::new(1, 4);
        let (_, text) = told(&[one]);
        assert!(text.lines().any(|line| line.contains("cancelled_by") && line.contains("25.00 % (1 of 4)") && line.ends_with("cancelled")), "{text}");
    }

    #[test]
    fn colours_are_for_terminals() {
        let text = as_text(false, &[company("A", &[("created_by_missing", 1), ("call_name_unexplained", 1)])], true);
        let of = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(of("created_by_missing").starts_with(RED) && of("call_name_unexplained").starts_with(YELLOW) && of("uid_twice").starts_with(GREEN));
        assert!(!as_text(true, &[company("A", &[])], false).contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_totals_and_where_they_come_from() {
        let told = as_json(false, &[company("A", &[("uid_twice", 2)]), company("B", &[])]);
        assert_eq!(told["checks"].as_array().unwrap().len(), consistency::all().count());
        assert_eq!(told["companies"][0]["found"][0], json!({ "check": "uid_twice", "violations": 2, "first": ["#1", "#2"] }));
        assert_eq!(told["companies"][1]["found"], json!([]));
        assert_eq!(told["scores"]["consistency"], json!({ "good": 238, "of": 240, "ratio": 238.0 / 240.0 }));
        assert_eq!(told["companies"][0]["columns"][9]["applies_to"], "cancelled");
    }
}

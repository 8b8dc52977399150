//! The campaign's auditor on trial: it finds nothing wrong with a world in order, and it names each damage that is done to it by the invariant that it violates. A
//! check that cannot fail proves nothing. Here the damages in our rows, in Cal.com and in what the campaign saw; `scene` makes the world and its record.

mod damages;
mod scene;

use std::time::Duration;

use dev::chaos::auditor::{Invariant, audit, unproven};
use dev::chaos::record::{Audit, Record};

use damages::{AFTERWARDS, IN_ROWS};
use scene::Scene;

/// The violations of one invariant.
fn violations(audit: &Audit, invariant: Invariant) -> &[String] {
    let row = audit.rows.iter().find(|row| row.id == invariant.id()).unwrap();
    &row.violations
}

fn says(audit: &Audit, invariant: Invariant, sentence: &str) -> bool {
    violations(audit, invariant).iter().any(|violation| violation.contains(sentence))
}

/// Collects what the auditor got wrong, so that one run shows all of it.
struct Trial {
    last: Audit,
    wrong: Vec<String>,
}

impl Trial {
    /// The damage that was just done is named by its invariant, and was not before.
    async fn names(&mut self, record: &Record, invariant: Invariant, sentence: &str) {
        let before = std::mem::replace(&mut self.last, audit(record).await);
        let (was_said, is_said) = (says(&before, invariant, sentence), says(&self.last, invariant, sentence));
        if was_said || !is_said {
            let found = violations(&self.last, invariant);
            self.wrong.push(format!("{} on {sentence:?}: said before {was_said}, now {is_said}: {found:#?}", invariant.id()));
        }
    }

    /// It named this, too.
    fn also(&mut self, invariant: Invariant, sentence: &str) {
        if !says(&self.last, invariant, sentence) {
            self.wrong.push(format!("{} does not say {sentence:?}: {:#?}", invariant.id(), violations(&self.last, invariant)));
        }
    }
}

#[tokio::test]
async fn a_world_in_order_is_green_and_each_damage_is_named_by_the_invariant_that_it_violates() {
    let mut scene = Scene::set().await;
    let mut trial = Trial { last: audit(&scene.record).await, wrong: Vec::new() };
    for row in &trial.last.rows {
        // nobody was throttled yet: no wait to be compared
        if !row.violations.is_empty() || (row.checked == 0 && row.id != Invariant::Fairness.id()) {
            trial.wrong.push(format!("in order, {} {} looked at {} things and found {:#?}", row.id, row.name, row.checked, row.violations));
        }
    }
    assert_eq!((trial.last.effects, trial.last.repaired), (scene.effects(), 0));
    // an invariant that looked at nothing is not proven, unless the campaign was too short for it
    assert_eq!(unproven(&trial.last, Duration::from_secs(30)), Vec::<String>::new());
    assert_eq!(unproven(&trial.last, Duration::from_secs(600)), ["I11 fairness looked at nothing"]);

    scene.stop_processes();
    trial.names(&scene.record, Invariant::Liveness, "does not answer for its metrics").await;
    for damage in IN_ROWS {
        scene.execute(&mut trial, damage.statements).await;
        trial.names(&scene.record, damage.invariant, damage.sentence).await;
    }
    scene.damage_calcom(&mut trial).await;
    scene.damage_the_answers(&mut trial).await;
    scene.damage_the_spool(&mut trial).await;
    scene.damage_the_record(&mut trial).await;
    scene.throttle_one_company(&mut trial).await;
    assert!(trial.last.rows.iter().all(|row| !row.violations.is_empty()), "every invariant is violated in the end");
    for (blind, statement) in AFTERWARDS {
        scene.execute(&mut trial, &[*statement]).await;
        // what cannot be looked at is neither kept nor violated, and says why
        let unseen: Vec<&str> =
            audit(&scene.record).await.rows.iter().filter(|row| row.unseen.is_some() && row.violations.is_empty()).map(|row| row.id).collect();
        let expected: Vec<&str> = blind.iter().map(|invariant| invariant.id()).collect();
        if unseen != expected {
            trial.wrong.push(format!("after {statement} {unseen:?} were unseen instead of {expected:?}"));
        }
    }
    assert!(trial.wrong.is_empty(), "{}", trial.wrong.join("\n"));
    scene.leave().await;
}

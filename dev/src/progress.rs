//! Progress lines of `cargo dev` on standard error, one per step with its duration.
//! Not a logger: standard output belongs to the story and to the test runner. Called by the servers and the commands.
use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

/// Where progress lines go. `quiet()` is for tests that use the servers as a library.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Lines on standard error.
    pub fn terminal() -> Self {
        Self { shown: true }
    }

    /// No output.
    pub fn quiet() -> Self {
        Self { shown: false }
    }

    /// A remark without a duration.
    pub fn note(&self, line: impl Display) {
        if self.shown {
            // A closed standard error (`cargo dev up 2>&1 | head`) must not stop the servers half-way.
            let _ = writeln!(std::io::stderr(), "   · {line}");
        }
    }

    /// Opens a step; its line appears when it ends.
    pub fn step(&self, name: impl Into<String>) -> Step {
        Step { progress: *self, name: name.into(), began: Instant::now() }
    }
}

/// A step under way. Dropped without [`Step::done`] (an error, Ctrl-C) it prints that it did not finish.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    name: String,
    began: Instant,
}

impl Step {
    /// Prints the line of a finished step.
    pub fn done(mut self) {
        let name = std::mem::take(&mut self.name);
        self.line('✓', &name);
    }

    /// Like [`Step::done`], with what came out of it.
    pub fn done_with(mut self, result: impl Display) {
        let name = std::mem::take(&mut self.name);
        self.line('✓', &format!("{name}: {result}"));
    }

    fn line(&self, mark: char, text: &str) {
        if self.progress.shown {
            let seconds = self.began.elapsed().as_secs_f64();
            let _ = writeln!(std::io::stderr(), " {mark} {seconds:6.1} s  {text}");
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.line('✗', &format!("{} (not finished)", self.name));
        }
    }
}

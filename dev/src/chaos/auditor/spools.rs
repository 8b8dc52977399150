//! What lies in the spools at rest (I10): drained records do not pile up, nothing was found damaged, and personal data stands in records alone, not in the names of
//! files nor in the lists beside them. The segment that is being written stays, and in it what was drained last: that is the spool's way.
//!
//! Files are read as anybody could read them. Called by `privacy`.

use std::path::Path;

use anyhow::Context;

use super::super::record::Record;
use super::evidence::Evidence;
use super::findings::Findings;

/// One is written; another may just be closing.
const SEGMENTS_MAX: usize = 2;
/// Lists and locks are small; what is larger is none.
const SEARCHED_BYTES_MAX: u64 = 64 << 20;

pub async fn judge(record: &Record, evidence: &Evidence, findings: &mut Findings) -> anyhow::Result<()> {
    for spool in &record.spools {
        let (mut segments, mut folder) = (0, read(&spool.folder).await?);
        while let Some(entry) = folder.next_entry().await.with_context(|| format!("reading {}", spool.folder.display()))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let place = format!("{}/{name}", spool.folder.file_name().unwrap_or_default().to_string_lossy());
            findings.violated_by(evidence.needles.found_in(&name).into_iter().map(|found| format!("a file's name in a spool holds {found}")));
            match Path::new(&name).extension().and_then(|end| end.to_str()) {
                Some("log") => segments += 1,
                Some("damaged") => findings.violated(format!("{place} is damaged: records may be lost")),
                _ if entry.metadata().await.is_ok_and(|about| about.is_file() && about.len() <= SEARCHED_BYTES_MAX) => {
                    let bytes = tokio::fs::read(entry.path()).await.with_context(|| format!("reading {place}"))?;
                    let found = evidence.needles.found_in(&String::from_utf8_lossy(&bytes));
                    findings.violated_by(found.into_iter().map(|found| format!("{place} holds {found}")));
                }
                _ => {}
            }
            findings.looked_at(1);
        }
        findings.expect(segments <= SEGMENTS_MAX, || format!("{segments} segments with callers' words are left in {}", spool.folder.display()));
    }
    Ok(())
}

async fn read(folder: &Path) -> anyhow::Result<tokio::fs::ReadDir> {
    tokio::fs::read_dir(folder).await.with_context(|| format!("reading {}", folder.display()))
}

use super::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn one_process_at_a_time() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/queue");
    let folder = QueueFolder::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let taken = QueueFolder::open(&path).unwrap_err();
    assert!(matches!(&taken, QueueFolderError::Taken(found) if *found == path));
    assert!(taken.to_string().contains("--otlp.queue.path"), "{taken}");
    // Held as long as a queue in it lives.
    let files = folder.signal("traces").unwrap();
    drop(folder);
    assert!(QueueFolder::open(&path).is_err());
    drop(files);
    assert!(QueueFolder::open(&path).is_ok());
}

#[test]
fn a_folder_that_cannot_be_made() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = QueueFolder::open(&file.join("queue")).unwrap_err();
    assert!(matches!(error, QueueFolderError::Unusable { .. }), "{error}");
}

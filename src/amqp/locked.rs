//! Mutexes whose content is whole whatever panicked while it was locked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The content, alone.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

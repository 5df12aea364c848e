//! What both directions together are doing, and what is told of it when that changes.

use std::cell::Cell;

use tracing::info;

use super::bridge::Direction;

/// What happens to the bridge as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Both directions move, or stand by for another bridge.
    Ready {
        /// For the first time.
        first: bool,
    },
    /// One of them does not any more: its session ended, or what comes in does not go out.
    Lost,
    /// Whether to one of them nothing comes though something should, in whichever session.
    Silent(bool),
    /// A broker takes no messages for now. Nothing is lost.
    Blocked,
    /// It does again.
    Unblocked,
    /// Told to stop; finishing what is under way.
    Draining,
}

/// What is known of both directions.
pub(super) struct Readiness<E> {
    on: E,
    moving: Cell<[bool; 2]>,
    silent: Cell<[bool; 2]>,
    was_ready: Cell<bool>,
}

impl<E: Fn(Event)> Readiness<E> {
    pub(super) fn new(on: E) -> Self {
        Self { on, moving: Cell::default(), silent: Cell::default(), was_ready: Cell::new(false) }
    }

    /// Tells what happened.
    pub(super) fn tell(&self, event: Event) {
        (self.on)(event);
    }

    /// Whether both directions moved at some time.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready.get()
    }

    /// Whether one direction moves at least.
    pub(super) fn is_any_moving(&self) -> bool {
        self.moving.get().contains(&true)
    }

    pub(super) fn moves(&self, direction: Direction) {
        let first = !self.was_ready();
        match set(&self.moving, direction, true) {
            (before, now) if before == now => {}
            (_, [true, true]) => {
                self.was_ready.set(true);
                self.tell(Event::Ready { first });
                if !first {
                    info!("consuming again");
                }
            }
            _ => info!(direction = direction.code(), "one direction moves"),
        }
    }

    pub(super) fn stands(&self, direction: Direction) {
        if let ([true, true], [false, _] | [_, false]) = set(&self.moving, direction, false) {
            self.tell(Event::Lost);
        }
    }

    /// Whether nothing comes to a direction though something should. One that waits for its broker is owed nothing.
    pub(super) fn is_silent(&self, direction: Direction, is_silent: bool) {
        let (before, now) = set(&self.silent, direction, is_silent);
        if before.contains(&true) != now.contains(&true) {
            self.tell(Event::Silent(now.contains(&true)));
        }
    }
}

/// What was true of both before this, and what is now.
fn set(both: &Cell<[bool; 2]>, direction: Direction, is_true: bool) -> ([bool; 2], [bool; 2]) {
    let mut now = both.get();
    now[usize::from(direction == Direction::ToModern)] = is_true;
    (both.replace(now), now)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::Direction::{ToLegacy, ToModern};
    use super::*;

    fn told(steps: impl FnOnce(&Readiness<&dyn Fn(Event)>)) -> Vec<Event> {
        let told = RefCell::new(Vec::new());
        let on = |event| told.borrow_mut().push(event);
        steps(&Readiness::new(&on));
        told.into_inner()
    }

    #[test]
    fn it_is_ready_when_both_move_and_not_when_one_stands() {
        let told = told(|readiness| {
            for step in [ToLegacy, ToModern, ToModern] {
                readiness.moves(step);
            }
            readiness.stands(ToLegacy);
            readiness.stands(ToModern);
            readiness.moves(ToModern);
            readiness.moves(ToLegacy);
        });
        assert_eq!(told, [Event::Ready { first: true }, Event::Lost, Event::Ready { first: false }]);
    }

    #[test]
    fn it_is_silent_while_one_direction_is() {
        let told = told(|readiness| {
            readiness.is_silent(ToLegacy, false);
            readiness.is_silent(ToLegacy, true);
            readiness.is_silent(ToModern, true);
            readiness.is_silent(ToLegacy, false);
            // Whatever the other one does.
            readiness.moves(ToLegacy);
            readiness.is_silent(ToModern, false);
        });
        assert_eq!(told, [Event::Silent(true), Event::Silent(false)]);
    }
}

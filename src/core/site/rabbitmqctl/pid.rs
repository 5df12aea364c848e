//! Process ids of Erlang, which tie a consumer to its channel and a channel to its connection.

use std::collections::HashMap;

use super::connection_name;
use crate::core::site::row::Row;

/// The names of connections by the process ids of their channels.
pub(super) struct Pids {
    by_channel: HashMap<String, Option<String>>,
}

impl Pids {
    pub fn of<'r>(
        channels: impl Iterator<Item = Row<'r>>,
        connections: impl Iterator<Item = Row<'r>>,
    ) -> Self {
        let names = connections.filter_map(|row| Some((process(&row.text("pid")?)?, connection_name(&row)?)));
        let names = unique(names);
        let channels = channels.filter_map(|row| {
            let connection = names.get(&process(&row.text("connection")?)?)?.clone()?;
            Some((process(&row.text("pid")?)?, connection))
        });
        Self { by_channel: unique(channels) }
    }

    /// The name of the connection that this channel is on.
    pub fn connection_of(&self, channel: &str) -> Option<String> {
        self.by_channel.get(&process(channel)?)?.clone()
    }
}

/// What comes twice, as it may in a cluster, stands for nothing.
fn unique(pairs: impl Iterator<Item = (String, String)>) -> HashMap<String, Option<String>> {
    let mut by_process = HashMap::new();
    for (process, name) in pairs {
        by_process.entry(process).and_modify(|known| *known = None).or_insert(Some(name));
    }
    by_process
}

/// The number of the process on its node: `785.0` of `#PID<12314.785.0>` and of `<rabbit@pbx.1795498959.785.0>`. What
/// stands before it is the node, as this very run of `rabbitmqctl` numbers it: another run has another number.
fn process(pid: &str) -> Option<String> {
    let inner = pid.split_once('<')?.1.strip_suffix('>')?;
    let mut parts = inner.rsplitn(3, '.');
    let (serial, id) = (parts.next()?, parts.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(serial) && is_number(id)).then(|| format!("{id}.{serial}"))
}

#[cfg(test)]
mod tests {
    use super::process;

    #[test]
    fn a_process_is_the_same_however_its_node_is_written() {
        assert_eq!(process("#PID<12314.785.0>").as_deref(), Some("785.0"));
        assert_eq!(process("<rabbit@pbx.example.1795498959.785.0>").as_deref(), Some("785.0"));
        for text in ["", "785.0", "<a>", "<a.b.c>", "<785>", "<.>"] {
            assert_eq!(process(text), None, "{text}");
        }
    }
}

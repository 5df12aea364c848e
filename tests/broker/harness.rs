//! A vhost, a client to publish and to listen with, and the bridge as a child process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use cti_bridge::core::site::rabbitmqctl::COMMANDS;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, PublisherConfirm,
};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The origin uuid of the bridge under test, and so its id in the mark.
pub const ORIGIN: &str = "5f1c2c5e-6a3c-4a2e-9d0b-0d5a1f7c9e11";

/// Nothing that works takes so long, on a loaded machine either.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The login with no permission on any vhost of the tests, and the one with few.
pub const STRANGER: &str = "stranger";
pub const NARROW: &str = "narrow";
pub const PASSWORD: &str = "hunter2";

/// An account with all rights, and a password that every encoding writes otherwise.
pub const ODD: &str = "odd";
pub const ODD_PASSWORD: &str = "pa/ss%7b wörd\"@:\\9";

const VHOSTS: usize = 128;

/// How often something happens in the tests that do it again and again: `CTI_BRIDGE_TEST_ROUNDS`, or a few times.
pub fn rounds() -> u32 {
    env::var("CTI_BRIDGE_TEST_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap())
}

/// Held for reading while a test uses the node, and for writing while one stops it.
static NODE: RwLock<()> = RwLock::const_new(());

/// Only held, never looked at.
enum Use {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// The surroundings of one test.
pub struct World {
    pub vhost: String,
    pub client: Client,
    directory: PathBuf,
    _use: Use,
}

impl World {
    /// A vhost on the node that all tests share.
    pub async fn new() -> Self {
        let guard = NODE.read().await;
        Self::with(Use::Shared { _guard: guard }).await
    }

    /// A vhost, and no other test at the same time: for those that stop the node.
    pub async fn alone() -> Self {
        let guard = NODE.write().await;
        Self::with(Use::Alone { _guard: guard }).await
    }

    /// The vhost of programs that name none; for one test only.
    pub async fn on_the_default_vhost() -> Self {
        let guard = NODE.read().await;
        Self::at("%2f".to_owned(), Use::Shared { _guard: guard }).await
    }

    async fn with(node: Use) -> Self {
        Self::at(next_vhost(), node).await
    }

    async fn at(vhost: String, node: Use) -> Self {
        let directory = env::temp_dir().join(format!("cti-bridge-test-{}-{vhost}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let client = Client::connect(&url(&vhost)).await;
        let vhost = vhost.replace("%2f", "/");
        Self { client, vhost, directory, _use: node }
    }

    pub fn url(&self) -> String {
        url(&self.vhost.replace('/', "%2f"))
    }

    pub fn url_of(&self, user: &str, password: &str) -> String {
        self.url().replace("guest:guest@", &format!("{user}:{password}@"))
    }

    /// Writes a file into the test's own directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The program on this vhost, with a configuration of its own, so that none of the machine leaks in.
    fn program(&self) -> (Command, PathBuf) {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cti-bridge"));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("CTI_BRIDGE_") {
                command.env_remove(name);
            }
        }
        let config = self.file(&format!("config-{}.yml", FILES.fetch_add(1, Ordering::Relaxed)), "");
        command
            .env_remove("XIVO_UUID")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("CTI_BRIDGE_AMQP_URL", self.url())
            .env("CTI_BRIDGE_CONFIG", &config)
            .env("CTI_BRIDGE_ORIGIN_UUID", ORIGIN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        (command, config)
    }

    /// A bridge on this vhost, not started yet.
    pub fn bridge(&self) -> Setup {
        let (mut command, config) = self.program();
        command.args(["run", "--log-format", "json"]);
        Setup { command, config }
    }

    /// Any other command, to be given arguments.
    pub fn any_command(&self) -> Command {
        self.program().0
    }

    /// Until nothing is delivered and not acked: an end of the session brings nothing again then.
    pub async fn all_is_acked(&self) {
        eventually("all is acked", async || (unacked(&[], &self.vhost).await == 0).then_some(())).await;
    }

    /// The port of the broker.
    pub fn port(&self) -> u16 {
        broker("BROKER_PORT").parse().unwrap()
    }

    /// Runs any other command to its end.
    pub async fn command(&self, arguments: &[&str]) -> Ran {
        let (mut command, _) = self.program();
        command.args(arguments);
        Ran::of(command).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn url(vhost: &str) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", broker("BROKER_PORT"))
}

/// Where the management API is, with user and password.
pub fn management_url() -> String {
    env::var("CTI_BRIDGE_MANAGEMENT_URL").unwrap_or_else(|_| {
        panic!(
            "needs the management plugin: scripts/with-broker --plugins rabbitmq_management cargo test --test broker \
             -- --include-ignored"
        )
    })
}

pub fn broker(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("needs RabbitMQ: scripts/with-broker cargo test --test broker -- --include-ignored")
    })
}

/// One of the vhosts that were all made at once, as each call of rabbitmqctl takes a second.
fn next_vhost() -> String {
    static MADE: OnceLock<()> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = |number| format!("test-{}-{number}", process::id());
    MADE.get_or_init(|| {
        let names: Vec<String> = (0..VHOSTS).map(name).collect();
        let everything = |user: &str, vhost: &String| json!({"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"});
        // What the README says that an account needs.
        let readme = include_str!("../../README.md");
        let (_, pattern) = readme.split_once("configure, write and read on\n`").expect("the pattern of the README");
        let needed = pattern.split('`').next().unwrap();
        let narrow = |vhost: &str| {
            json!({"user": NARROW, "vhost": vhost, "configure": needed, "write": needed, "read": needed})
        };
        let permissions = names.iter().flat_map(|vhost| [everything("guest", vhost), everything(ODD, vhost), narrow(vhost)]);
        let definitions = json!({
            "vhosts": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            "users": ([(STRANGER, PASSWORD, ""), (NARROW, PASSWORD, ""), (ODD, ODD_PASSWORD, "administrator")]
                .map(|(name, password, tags)| json!({"name": name, "password": password, "tags": tags}))),
            "permissions": permissions.collect::<Vec<_>>(),
            "topic_permissions": names.iter().map(|vhost| json!({
                "user": NARROW, "vhost": vhost, "exchange": "xivo", "write": "^(?!auth\\.tenants\\.forbidden)", "read": ".*",
            })).collect::<Vec<_>>(),
        });
        let file = env::temp_dir().join(format!("cti-bridge-test-definitions-{}.json", process::id()));
        fs::write(&file, definitions.to_string()).unwrap();
        let brokers = if env::var_os("BROKER_APART").is_some() { "BROKER_NODES" } else { "BROKER_NODE" };
        for node in broker(brokers).split(' ') {
            rabbitmqctl(&["-n", node, "import_definitions", file.to_str().unwrap()]);
        }
        fs::remove_file(file).unwrap();
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < VHOSTS, "more tests than vhosts: raise VHOSTS");
    name(number)
}

/// Runs rabbitmqctl to its end; a broken node fails the test.
pub fn rabbitmqctl(arguments: &[&str]) -> String {
    broker("BROKER_NODE");
    let output = Command::new("rabbitmqctl").arg("--quiet").args(arguments).output().unwrap();
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same while the test goes on.
pub async fn rabbitmqctl_meanwhile(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || rabbitmqctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The messages of a vhost that were delivered and not acked, as the channels tell it; queues tell it late.
pub async fn unacked(options: &[&str], vhost: &str) -> u32 {
    let list = [options, &["list_channels", "--silent", "vhost", "messages_unacknowledged"]].concat();
    let listed = rabbitmqctl_meanwhile(&list).await;
    let channels = listed.lines().map(|line| line.split_once('\t').expect("a vhost and a number"));
    channels.filter(|(of, _)| *of == vhost).map(|(_, count)| count.trim().parse::<u32>().unwrap()).sum()
}

/// The bridge's connections on a vhost, what each is for and its process; for a test that is alone.
pub async fn own_connections(world: &World) -> BTreeMap<String, String> {
    let listed = rabbitmqctl_meanwhile(&["list_connections", "pid", "vhost", "client_properties"]).await;
    let mut own = BTreeMap::new();
    for line in listed.lines() {
        let [pid, vhost, properties] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else { continue };
        let Some((_, name)) = properties.split_once("\"cti-bridge ") else { continue };
        if vhost == world.vhost {
            let usage = name.split('"').next().unwrap().to_owned();
            assert_eq!(own.insert(usage, pid.to_owned()), None, "two connections for one use: {listed}");
        }
    }
    own
}

/// The lists of a vhost that show a site, each in a file.
pub async fn lists(world: &World) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (number, command) in COMMANDS.iter().enumerate() {
        let mut arguments = vec!["--formatter", "json"];
        if !command.starts_with("list_connections") && !command.starts_with("list_channels") {
            arguments.extend(["-p", world.vhost.as_str()]);
        }
        arguments.extend(command.split(' '));
        let text = rabbitmqctl_meanwhile(&arguments).await;
        files.push(world.file(&format!("list-{number}.json"), &text));
    }
    files
}

/// A bridge that has started takes its first delivery alone; the next one may be on its way by then, and goes back once.
pub fn only_the_second_came_twice(counts: &Value) {
    assert!(counts["redelivered"].as_u64().unwrap() <= 1, "{counts}");
}

/// Waits until `probe` has something.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A program of either era: publishes with confirms, listens without acks.
pub struct Client {
    _connection: Connection,
    pub channel: Channel,
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.unwrap()
    }

    pub async fn try_connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// Publishes without waiting for the confirm.
    pub async fn send(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions::default();
        self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await
    }

    /// Publishes, and returns when the broker has it.
    pub async fn publish_with(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let confirm = self.send(exchange, key, properties, body).await.unwrap().await.unwrap();
        assert_eq!(confirm, Confirmation::Ack(None));
    }

    pub async fn publish(&self, exchange: &str, key: &str, body: impl AsRef<[u8]>) {
        self.publish_with(exchange, key, BasicProperties::default(), body.as_ref()).await;
    }

    /// Publishes a legacy event on `xivo-cti` as programs of the time did: under its name, without properties.
    pub async fn publish_legacy(&self, event: &Value) {
        self.publish("xivo-cti", event["name"].as_str().unwrap(), event.to_string()).await;
    }

    /// Makes a queue of its own as old programs did, and listens.
    pub async fn tap(&self, bindings: &[(&str, &str)]) -> Tap {
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
        self.bind(queue.name().as_str(), bindings).await;
        self.tap_queue(queue.name().as_str()).await
    }

    pub async fn bind(&self, queue: &str, bindings: &[(&str, &str)]) {
        for (exchange, key) in bindings {
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            self.channel
                .queue_bind(queue.into(), (*exchange).into(), (*key).into(), options, none)
                .await
                .unwrap();
        }
    }

    /// Listens to a queue that is there.
    pub async fn tap_queue(&self, queue: &str) -> Tap {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        Tap(consumer.await.unwrap())
    }

    /// A queue that outlives the node's stop.
    pub async fn durable_queue(&self, name: &str, bindings: &[(&str, &str)]) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.into(), options, arguments).await.unwrap();
        self.bind(name, bindings).await;
    }

    /// How many messages wait in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        queue.message_count()
    }
}

/// What arrives at a queue.
pub struct Tap(Consumer);

impl Tap {
    pub async fn next(&mut self) -> Delivery {
        let delivery = tokio::time::timeout(LIMIT, self.0.next()).await;
        delivery.expect("no message came").expect("the consumer ended").unwrap()
    }

    pub async fn event(&mut self) -> Value {
        json_of(&self.next().await)
    }
}

pub fn json_of(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.data).unwrap()
}

/// The ids of the bridges a message has passed.
pub fn mark(delivery: &Delivery) -> Option<String> {
    text(delivery.properties.headers().as_ref()?.inner().get("cti-bridge")?)
}

pub fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8(text.as_bytes().to_vec()).unwrap()),
        _ => None,
    }
}

pub fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub fn table<'a>(entries: impl IntoIterator<Item = (&'a str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// The properties of everything that goes to legacy: the mark and nothing else.
pub fn only_the_mark(ids: &str) -> BasicProperties {
    BasicProperties::default().with_headers(table([("cti-bridge", long(ids))]))
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs it to its end, while the test goes on.
    pub async fn of(mut command: Command) -> Self {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A bridge that is not started yet.
pub struct Setup {
    command: Command,
    config: PathBuf,
}

impl Setup {
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The text of its configuration file.
    pub fn config(self, text: &str) -> Self {
        fs::write(&self.config, text).unwrap();
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Bridge {
        let bridge = self.spawn();
        bridge.says("ready").await;
        bridge
    }

    /// Starts it.
    pub fn spawn(mut self) -> Bridge {
        let mut child = self.command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sink, stderr) = (Arc::clone(&lines), child.stderr.take().unwrap());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                sink.lock().unwrap().push(line.unwrap());
            }
        });
        Bridge { child, lines, reader: Some(reader) }
    }
}

/// A running bridge. Killed when the test ends.
pub struct Bridge {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Bridge {
    /// All log lines with this message, without what the log adds.
    pub fn said(&self, message: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let fields = lines.iter().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line.get("fields")?.clone())
        });
        fields.filter(|fields| fields["message"] == message).collect()
    }

    /// Waits for the first log line with this message.
    pub async fn says(&self, message: &str) -> Value {
        eventually(&format!("the bridge says `{message}`"), async || self.said(message).into_iter().next())
            .await
    }

    /// Waits for the last status of a direction to have these figures.
    pub async fn counts(&self, direction: &str, figures: &[(&str, u64)]) -> Value {
        eventually(&format!("{direction} counts {figures:?}"), async || {
            let status = self.said("status").into_iter().rfind(|status| status["direction"] == direction)?;
            figures.iter().all(|(name, figure)| status[*name] == *figure).then_some(status)
        })
        .await
    }

    pub fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, name: &str) {
        let status =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end and returns its exit code; nothing of its output is missing then.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = eventually("the bridge ends", async || self.child.try_wait().unwrap()).await;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        if let Some(mut stdout) = self.child.stdout.take() {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            assert_eq!(text, "", "everything the bridge says goes to stderr");
        }
        status.code()
    }

    /// Stops it and returns the final counts of a direction each: `(to_legacy, to_modern)`.
    pub async fn stop(&mut self) -> (Value, Value) {
        assert!(self.is_running(), "the bridge ended before its time");
        self.signal("TERM");
        assert_eq!(self.exit_code().await, Some(0));
        let counts = self.said("stopped");
        let of = |direction: &str| {
            counts.iter().find(|counts| counts["direction"] == direction).expect("no final counts").clone()
        };
        (of("to_legacy"), of("to_modern"))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Our own child, not reaped yet, so the id is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("--- the bridge's log:\n{}\n---", self.output());
        }
    }
}

//! The topology as RabbitMQ's own `definitions.json`, for brokers that are set up before any service starts.

use serde_json::{Value, json};

use crate::Topology;

/// The topology for `vhost` in the format of `load_definitions` and `rabbitmqctl import_definitions`
/// (RabbitMQ 3.10 to 4.x).
///
/// It holds no users: whoever runs the broker adds them, so that no password is ever shipped. A broker that loads
/// definitions creates no default user either.
pub fn definitions(topology: &Topology, vhost: &str) -> Value {
    let exchanges: Vec<_> = topology
        .exchanges()
        .into_iter()
        .map(|exchange| {
            json!({
                "name": exchange.name, "vhost": vhost, "type": exchange.kind, "durable": true,
                "auto_delete": false, "internal": false, "arguments": {},
            })
        })
        .collect();
    let mut queues = Vec::new();
    let mut bindings = Vec::new();
    for queue in topology.queues() {
        if let Some((source, routing_key)) = queue.binding {
            bindings.push(json!({
                "source": source, "vhost": vhost, "destination": queue.name, "destination_type": "queue",
                "routing_key": routing_key, "arguments": {},
            }));
        }
        queues.push(json!({
            "name": queue.name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": queue.arguments,
        }));
    }
    json!({ "vhosts": [{ "name": vhost }], "exchanges": exchanges, "queues": queues, "bindings": bindings })
}

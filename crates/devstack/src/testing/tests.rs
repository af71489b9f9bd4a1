use std::time::{Duration, Instant};

use super::{Broker, DEADLINE, Database, Server, Twinned, Vhost, add_twins};

fn count_databases(name: &str) -> String {
    let rows =
        Server::shared().execute(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
    rows.unwrap().trim().to_owned()
}

#[test]
fn a_database_is_there_until_it_is_dropped() {
    let (first, second) = (Database::create(), Database::create());
    assert_ne!(first.name(), second.name());
    assert!(first.url().ends_with(first.name()));
    let name = first.name().to_owned();
    assert_eq!(count_databases(&name), "1");
    drop(first);
    assert_eq!(count_databases(&name), "0");
    assert_eq!(count_databases(second.name()), "1");
}

#[test]
fn whatever_touches_a_twin_is_refused() {
    let database = Database::create();
    let run = |statement: &str| Server::shared().execute_in(database.url(), statement);
    let count = |table: &str| run(&format!("SELECT count(*) FROM {table}")).unwrap().trim().to_owned();
    run("CREATE SCHEMA shop; CREATE TABLE shop.orders (owner text, order_no text, paid boolean, PRIMARY KEY (owner, order_no))")
        .unwrap();
    let orders =
        Twinned { table: "shop.orders", merchant: "owner", differs: "jsonb_build_object('paid', true)" };
    for _ in 0..2 {
        add_twins(database.url(), &[orders]);
    }
    run("INSERT INTO shop.orders VALUES ('user/m1/u1', '1', false), ('user/m2/u1', '1', false)").unwrap();
    assert_eq!((count("shop.orders"), count("ours.orders")), ("3".to_owned(), "2".to_owned()));
    assert_eq!(count("shop.orders WHERE owner = 'user/twin/u1' AND order_no = '1' AND paid"), "1");
    for touched in ["UPDATE shop.orders SET paid = true WHERE order_no = '1'", "DELETE FROM shop.orders"] {
        let refused = run(touched).unwrap_err().to_string();
        assert!(refused.contains("a row of another merchant is touched"), "{refused}");
    }
    run("UPDATE shop.orders SET paid = true WHERE order_no = '1' AND owner = 'user/m1/u1'; DELETE FROM ours.orders").unwrap();
    assert_eq!(count("shop.orders"), "1");
}

#[test]
fn a_vhost_tells_the_depth_of_its_queues_and_can_be_deleted() {
    let vhost = Vhost::create();
    let request =
        |method: &str, path: &str, body: &str| vhost.management.request(method, path, body).unwrap();
    assert_eq!(vhost.queue_depth("orders.queue"), None);
    let queue = format!("/api/queues/{}/orders.queue", vhost.name());
    request("PUT", &queue, r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#);
    let message =
        r#"{"properties":{},"routing_key":"orders.queue","payload":"1","payload_encoding":"string"}"#;
    for _ in 0..3 {
        let routed =
            request("POST", &format!("/api/exchanges/{}/amq.default/publish", vhost.name()), message);
        assert_eq!(routed.as_deref(), Some(r#"{"routed":true}"#));
    }
    let published = Instant::now();
    while vhost.queue_depth("orders.queue") != Some(3) {
        assert!(published.elapsed() < DEADLINE, "depth {:?}", vhost.queue_depth("orders.queue"));
        std::thread::sleep(Duration::from_millis(20));
    }

    let (path, management) = (format!("/api/vhosts/{}", vhost.name()), vhost.management.clone());
    assert!(management.request("GET", &path, "").unwrap().is_some());
    vhost.delete();
    assert_eq!(management.request("GET", &path, "").unwrap(), None);
}

#[test]
fn both_shared_servers_are_named() {
    let servers = super::servers();
    assert_eq!(servers.database_url, Server::shared().url);
    assert_eq!(servers.amqp_url, Broker::shared().amqp_url);
}

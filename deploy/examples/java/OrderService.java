import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** The shop's orders, in PostgreSQL. Used by one thread. */
final class OrderService {
    private static final String TABLES = """
            CREATE TABLE IF NOT EXISTS handled_events (event_key text PRIMARY KEY);
            CREATE TABLE IF NOT EXISTS orders
                (order_no bigint PRIMARY KEY, status text NOT NULL, payments integer NOT NULL)""";
    private static final String ADD_KEY = "INSERT INTO handled_events VALUES (?) ON CONFLICT DO NOTHING";
    /** More than one payment of an order is money to give back. */
    private static final String MARK = """
            INSERT INTO orders VALUES (?, 'PAID', 1)
            ON CONFLICT (order_no) DO UPDATE SET status = 'PAID', payments = orders.payments + 1""";

    interface Work {
        void run() throws SQLException;
    }

    private final String url;
    private Connection database;

    OrderService(String url) throws SQLException {
        this.url = url;
        inTransaction(() -> {
            try (Statement statement = database.createStatement()) {
                statement.execute(TABLES);
            }
        });
    }

    /** All of the work, or none of it. After a failure the next transaction has a new connection. */
    void inTransaction(Work work) throws SQLException {
        try {
            if (database == null) {
                Properties limits = new Properties();
                limits.setProperty("connectTimeout", "10"); // seconds
                limits.setProperty("socketTimeout", "30");
                database = DriverManager.getConnection(url, limits);
                database.setAutoCommit(false);
            }
            work.run();
            database.commit();
        } catch (SQLException error) {
            disconnect();
            throw error;
        }
    }

    /** Remembers the key of an event; false if it was known. */
    boolean isFirst(String eventKey) throws SQLException {
        try (PreparedStatement statement = database.prepareStatement(ADD_KEY)) {
            statement.setString(1, eventKey);
            return statement.executeUpdate() == 1;
        }
    }

    void markOrderPaySuccess(Long orderNo) throws SQLException {
        try (PreparedStatement statement = database.prepareStatement(MARK)) {
            statement.setLong(1, orderNo);
            statement.executeUpdate();
        }
    }

    /** Ends the transaction, too. */
    private void disconnect() {
        if (database != null) {
            try {
                database.close();
            } catch (SQLException ignored) {
                // It was broken already.
            }
            database = null;
        }
    }
}

"""The public interface: leases for people who write Python."""

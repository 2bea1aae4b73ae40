"""Between the IR and protobuf: pairs x_to_proto / x_from_proto, and the scan before a parse."""

# The image holds the static binary, the CA certificates it checks servers by, and nothing else.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN make build VERSION="$VERSION"

FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="pgvigil" \
      org.opencontainers.image.description="Prometheus exporter for PostgreSQL" \
      org.opencontainers.image.source="https://github.com/pgvigil/pgvigil" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/pgvigil /pgvigil
COPY LICENSE NOTICE /
# nobody, as a number: Kubernetes checks runAsNonRoot without a user database.
USER 65534:65534
EXPOSE 9187
ENTRYPOINT ["/pgvigil"]

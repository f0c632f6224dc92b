# Prediction alone, on a CPU:
#   docker build -t segnet . && docker run --rm -v "$PWD:/data" segnet predict photo.jpg --out masks
FROM python:3.12-slim

COPY constraints.txt pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir -c /src/constraints.txt /src && rm -r /src

# Files that it writes belong to user 1000, as on most machines with one person; --user takes another.
RUN useradd --uid 1000 --create-home segnet
USER segnet
WORKDIR /data
ENTRYPOINT ["segnet"]
CMD ["--help"]
